//! JSON-RPC 2.0 over text messages: envelopes in, methods called, answers sent to the client that asked.
//!
//! Reached through [`Handler`], and by the operators' HTTP; knows nothing of streams.

mod batch;
mod call;
mod calls;
mod envelope;
mod error;
mod filter;
mod health_events;
mod http;
mod hub;
mod methods;
mod page;
mod params;
mod reply;
mod topics;
mod view;

pub use call::scope::ALL as SCOPES;
pub use calls::CallCounts;
pub use error::{ErrorKind, RpcError};
pub use http::HttpCall;
pub use reply::Outcome;

use crate::client::{ClientRegistry, Closed, GatewayClient, Handler, Presence, Rest, Utf8Bytes, turn_is_over};
use crate::config::Config;
use crate::counters::Counter;
use crate::heartbeat::Heartbeat;
use batch::{Batch, NULL, check_kept_id};
use call::{Call, Method, Origin};
use envelope::{Incoming, Request};
use hub::Hub;
use methods::METHODS;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// Calls the gateway's own methods, and those of nodes.
#[derive(Clone)]
pub struct Router {
    hub: Arc<Hub>,
    methods: &'static [Method],
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
        let hub = Hub::new(config, registry, presence, heartbeat);
        let limits = &config.limits;
        let (max_batch_requests, max_answer_bytes) = (limits.max_batch_requests, limits.outbox_max_bytes / 2);
        Router { hub, methods: METHODS, max_batch_requests, max_answer_bytes }
    }

    /// What became of calls of nodes' methods.
    pub fn call_counts(&self) -> &CallCounts {
        &self.hub.calls.counts
    }

    /// Events published, and how often one was queued for a subscriber.
    pub fn event_counts(&self) -> [&Counter; 2] {
        [&self.hub.topics.published, &self.hub.topics.queued]
    }

    fn answer(&self, client: &Arc<GatewayClient>, text: &str) -> Answer {
        Answer::Ready(match envelope::parse(text, self.max_batch_requests) {
            Ok(Incoming::Single(request)) => self.answer_one(client, &request, None).map(|(id, answer)| {
                let fits = answer.len() <= self.max_answer_bytes;
                if fits { answer } else { failure(id, RpcError::answer_too_large(self.max_answer_bytes)) }
            }),
            Ok(Incoming::Batch(requests)) => {
                let batch = Batch::new(client, &self.hub.kept, self.max_answer_bytes, requests.len());
                return self.answer_batch(batch, requests.into_iter().map(Cow::Borrowed));
            }
            Err(error) => Some(failure(NULL, error)),
        })
    }

    /// Answers these requests of a batch, or the first of them: a batch may ask for more work than a client's turn is for.
    fn answer_batch<'a>(&self, batch: Arc<Batch>, mut requests: impl Iterator<Item = Cow<'a, RawValue>>) -> Answer {
        for request in &mut requests {
            match envelope::parse_request(request.get()) {
                Ok(request) => {
                    if let Some((id, answer)) = self.answer_one(batch.client(), &request, Some(&batch)) {
                        batch.push(id, answer);
                    }
                }
                Err(error) => batch.push(NULL, failure(NULL, error)),
            }
            if turn_is_over() {
                break;
            }
        }
        let rest: Vec<Cow<'static, RawValue>> = requests.map(|request| Cow::Owned(request.into_owned())).collect();
        if rest.is_empty() {
            return Answer::Ready(batch.came());
        }
        let router = self.clone();
        Answer::Unfinished(Rest::new(move || {
            let client = batch.client().clone();
            router.answer_batch(batch, rest.into_iter()).send_to(&client)
        }))
    }

    /// The answer with its ID.
    fn answer_one<'a>(
        &self,
        client: &Arc<GatewayClient>,
        request: &Request<'a>,
        batch: Option<&Arc<Batch>>,
    ) -> Option<(&'a str, String)> {
        if let Some((id, response)) = request.as_response()
            && self.hub.calls.answered(client.conn_id, id, response)
        {
            return None;
        }
        if let Some(error) = batch.and(check_kept_id(request.id).err()) {
            // What stands in for an answer that is too large isn't to be large itself.
            return Some((NULL, failure(NULL, error)));
        }
        let (id, result) = match request.check() {
            // Even without an id: what is no request is no notification.
            Err(error) if error.kind == ErrorKind::InvalidRequest => (Some(request.id_or_null()), Err(error)),
            checked => {
                let result = checked.and_then(|method| {
                    let origin = Origin::Client { client, id: request.id, batch };
                    Call { hub: &self.hub, methods: self.methods, origin, params: request.params }.run(&method)
                });
                (request.id.map(RawValue::get), result)
            }
        };
        let id = id?;
        let answer = match result {
            Ok(result) => envelope::answer(id, &result?),
            Err(error) => failure(id, error),
        };
        Some((id, answer))
    }
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
                // A full outbox has closed the client; a closed one wants no answer.
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
        self.hub.health_events.changed();
    }

    fn on_closing(&self, client: &Arc<GatewayClient>) {
        self.hub.calls.leaves(client.conn_id);
    }

    fn on_disconnect(&self, client: &Arc<GatewayClient>, closed: Closed) {
        self.hub.forget(client.conn_id, closed);
        self.hub.health_events.changed();
    }

    fn on_joined(&self, client: &Arc<GatewayClient>) {
        self.hub.presence_changed(client, "joined");
    }

    fn on_left(&self, client: &Arc<GatewayClient>) {
        self.hub.presence_changed(client, "left");
    }

    fn on_drain(&self) {
        self.hub.calls.drain();
    }
}

#[cfg(test)]
mod tests;
