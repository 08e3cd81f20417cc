//! JSON-RPC 2.0 over text messages: envelopes in, methods called, answers sent to the client that asked.
//!
//! Reached through [`Handler`], and by the operators' HTTP; knows nothing of streams.

use super::method::{Call, Method, Origin, Progress};
use super::methods::METHODS;
use super::node_calls::CallCounts;
use super::protocol::error::{ErrorKind, RpcError};
use super::protocol::message;
use super::protocol::responder::Outcome;
use super::state::RpcState;
use super::work::Work;
use crate::budget;
use crate::client::{CloseRecord, GatewayClient, Handler, Rest};
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::metrics::Counter;
use crate::registry::{ClientRegistry, Presence};
use crate::rpc::protocol::batch::{Batch, NULL, check_kept_id};
use crate::rpc::protocol::message::{Message, Request};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// NodeCalls the gateway's own methods, and those of nodes.
#[derive(Clone)]
pub struct Router {
    pub(crate) state: Arc<RpcState>,
    pub(crate) methods: &'static [Method],
    max_batch_requests: usize,
    /// An answer beyond it, or those to a batch together, would close who asks as a slow consumer.
    max_answer_bytes: usize,
}

impl Router {
    /// A router for the clients of `registry` and `presence`, whose calls' time `heartbeat` keeps.
    pub fn new(
        config: &Config,
        registry: Arc<ClientRegistry>,
        presence: Arc<Presence>,
        heartbeat: Arc<Heartbeat>,
    ) -> Self {
        let state = RpcState::new(config, registry, presence, heartbeat);
        let limits = &config.limits;
        let (max_batch_requests, max_answer_bytes) = (limits.max_batch_requests, limits.outbox_max_bytes / 2);
        Router { state, methods: METHODS, max_batch_requests, max_answer_bytes }
    }

    /// What became of calls of nodes' methods.
    pub fn call_counts(&self) -> &CallCounts {
        &self.state.calls.counts
    }

    /// Events published, and how often one was queued for a subscriber.
    pub fn event_counts(&self) -> [&Counter; 2] {
        [&self.state.topics.published, &self.state.topics.queued]
    }

    fn answer(&self, client: &Arc<GatewayClient>, text: &str) -> Answer {
        Answer::Ready(match message::parse(text, self.max_batch_requests) {
            Ok(Message::Single(request)) => match self.answer_one(client, &request, None) {
                Some(Answered::Answer(id, answer)) => Some(self.bounded(id, answer)),
                Some(Answered::Unfinished(id, work)) => return self.unfinished(client, id, work),
                None => None,
            },
            Ok(Message::Batch(requests)) => {
                let batch = Batch::new(client, &self.state.kept, self.max_answer_bytes, requests.len());
                return self.answer_batch(batch, requests.into_iter().map(Cow::Borrowed));
            }
            Err(error) => Some(failure(NULL, error)),
        })
    }

    /// An answer, unless it is too large.
    fn bounded(&self, id: &str, answer: String) -> String {
        let fits = answer.len() <= self.max_answer_bytes;
        if fits { answer } else { failure(id, RpcError::answer_too_large(self.max_answer_bytes)) }
    }

    /// The rest of a request that isn't in a batch.
    fn unfinished(&self, client: &Arc<GatewayClient>, id: Option<&str>, work: Work) -> Answer {
        let (router, client, id) = (self.clone(), client.clone(), id.map(str::to_owned));
        Answer::Unfinished(work.then(move |result| {
            let answer = id.map(|id| router.bounded(&id, message::success_response(&id, &result)));
            Answer::Ready(answer).send_to(&client)
        }))
    }

    /// Answers these requests of a batch, or the first of them: a batch may ask for more work than a client's turn is for.
    fn answer_batch<'a>(&self, batch: Arc<Batch>, mut requests: impl Iterator<Item = Cow<'a, RawValue>>) -> Answer {
        let mut unfinished = None;
        for request in &mut requests {
            match message::parse_request(request.get()) {
                Ok(request) => match self.answer_one(batch.client(), &request, Some(&batch)) {
                    Some(Answered::Answer(id, answer)) => batch.push(id, answer),
                    Some(Answered::Unfinished(id, work)) => unfinished = Some((id.map(str::to_owned), work)),
                    None => {}
                },
                Err(error) => batch.push(NULL, failure(NULL, error)),
            }
            if unfinished.is_some() || budget::is_spent() {
                break;
            }
        }
        let rest: Vec<Cow<'static, RawValue>> = requests.map(|request| Cow::Owned(request.into_owned())).collect();
        if unfinished.is_none() && rest.is_empty() {
            return Answer::Ready(batch.came());
        }
        let router = self.clone();
        Answer::Unfinished(match unfinished {
            None => Rest::new(move || router.answer_rest(batch, rest)),
            Some((id, work)) => work.then(move |result| {
                if let Some(id) = id {
                    batch.push(&id, message::success_response(&id, &result));
                }
                router.answer_rest(batch, rest)
            }),
        })
    }

    fn answer_rest(&self, batch: Arc<Batch>, rest: Vec<Cow<'static, RawValue>>) -> Option<Rest> {
        let client = batch.client().clone();
        self.answer_batch(batch, rest.into_iter()).send_to(&client)
    }

    /// What comes of one request at once; nothing when it calls for no answer, or not yet.
    fn answer_one<'a>(
        &self,
        client: &Arc<GatewayClient>,
        request: &Request<'a>,
        batch: Option<&Arc<Batch>>,
    ) -> Option<Answered<'a>> {
        if let Some((id, response)) = request.as_response()
            && self.state.calls.on_response(client.conn_id, id, response)
        {
            return None;
        }
        if let Some(error) = batch.and(check_kept_id(request.id).err()) {
            // What stands in for an answer that is too large isn't to be large itself.
            return Some(Answered::Answer(NULL, failure(NULL, error)));
        }
        let (id, result) = match request.validate() {
            // Even without an id: what is no request is no notification.
            Err(error) if error.kind == ErrorKind::InvalidRequest => (Some(request.id_or_null()), Err(error)),
            checked => {
                let result = checked.and_then(|method| {
                    let origin = Origin::Client { client, id: request.id, batch };
                    Call { state: &self.state, methods: self.methods, origin, params: request.params }.run(&method)
                });
                (request.id.map(RawValue::get), result)
            }
        };
        match result {
            Ok(Progress::Unfinished(work)) => Some(Answered::Unfinished(id, work)),
            Ok(Progress::Later) => None,
            Ok(Progress::Result(result)) => id.map(|id| Answered::Answer(id, message::success_response(id, &result))),
            Err(error) => id.map(|id| Answered::Answer(id, failure(id, error))),
        }
    }
}

/// What comes of a request at once, with its ID.
enum Answered<'a> {
    /// Its answer.
    Answer(&'a str, String),
    /// Its answer comes after this; a notification has no ID and gets none.
    Unfinished(Option<&'a str>, Work),
}

/// What there is to answer to a message.
enum Answer {
    /// This; nothing when nothing in it calls for an answer, or not yet.
    Ready(Option<String>),
    /// There is more to do before.
    Unfinished(Rest),
}

impl Answer {
    /// Sends it, or returns what is left to do before.
    fn send_to(self, client: &GatewayClient) -> Option<Rest> {
        match self {
            Answer::Ready(answer) => {
                // A full outbox has closed the client; a closed one matches no answer.
                let _ = client.send(answer?);
                None
            }
            Answer::Unfinished(rest) => Some(rest),
        }
    }
}

fn failure(id: &str, error: RpcError) -> String {
    Outcome::Failed(error).answer(id)
}

impl Handler for Router {
    fn on_message(&self, client: &Arc<GatewayClient>, text: Utf8Bytes) -> Option<Rest> {
        self.answer(client, &text).send_to(client)
    }

    fn on_connect(&self, _: &Arc<GatewayClient>) {
        self.state.health_events.changed();
    }

    fn on_closing(&self, client: &Arc<GatewayClient>) {
        self.state.calls.fail_node(client.conn_id);
    }

    fn on_disconnect(&self, client: &Arc<GatewayClient>, closed: CloseRecord) {
        self.state.remove_client(client.conn_id, closed);
        self.state.health_events.changed();
    }

    fn on_joined(&self, client: &Arc<GatewayClient>) {
        self.state.presence_changed(client, "joined");
    }

    fn on_left(&self, client: &Arc<GatewayClient>) {
        self.state.presence_changed(client, "left");
    }

    fn on_drain(&self) {
        self.state.calls.drain();
    }
}

#[cfg(test)]
mod tests;
