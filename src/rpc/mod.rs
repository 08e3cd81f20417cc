//! JSON-RPC 2.0 over text messages: envelopes in, methods called, answers sent to the client that asked.
//!
//! Reached through [`Handler`], and by the operators' HTTP; knows nothing of streams.

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

pub use calls::CallCounts;
pub use error::{ErrorKind, RpcError};
pub use http::HttpCall;
pub use reply::Outcome;

use crate::client::{ClientRegistry, Closed, GatewayClient, Handler, Presence, Utf8Bytes};
use crate::config::Config;
use crate::counters::Counter;
use crate::heartbeat::Heartbeat;
use call::{Call, Method, Origin};
use envelope::{Incoming, Request};
use hub::Hub;
use methods::METHODS;
use reply::{Batch, push_answer};
use serde_json::value::RawValue;
use std::cell::OnceCell;
use std::sync::Arc;

/// Calls the gateway's own methods, and those of nodes.
pub struct Router {
    hub: Arc<Hub>,
    methods: &'static [Method],
    max_batch_requests: usize,
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
        Router { hub, methods: METHODS, max_batch_requests: config.limits.max_batch_requests }
    }

    /// What became of calls of nodes' methods.
    pub fn call_counts(&self) -> &CallCounts {
        &self.hub.calls.counts
    }

    /// Events published, and how often one was queued for a subscriber.
    pub fn event_counts(&self) -> [&Counter; 2] {
        [&self.hub.topics.published, &self.hub.topics.queued]
    }

    /// The answer to one message; `None` when nothing in it calls for one, or not yet.
    fn answer(&self, client: &Arc<GatewayClient>, text: &str) -> Option<String> {
        match envelope::parse(text, self.max_batch_requests) {
            Ok(Incoming::Single(request)) => self.answer_one(client, &request, None),
            Ok(Incoming::Batch(requests)) => self.answer_batch(client, &requests),
            Err(error) => Some(failure("null", error)),
        }
    }

    fn answer_batch(&self, client: &Arc<GatewayClient>, requests: &[&RawValue]) -> Option<String> {
        let (mut answers, batch) = (String::new(), OnceCell::<Arc<Batch>>::new());
        for request in requests {
            let answer = match envelope::parse_request(request.get()) {
                Ok(request) => self.answer_one(client, &request, Some(&batch)),
                Err(error) => Some(failure("null", error)),
            };
            push_answer(&mut answers, answer.as_deref().unwrap_or_default());
        }
        match batch.get() {
            // The others come later, and these with them.
            Some(batch) => {
                batch.add(Some(&answers));
                None
            }
            None => (!answers.is_empty()).then(|| format!("[{answers}]")),
        }
    }

    fn answer_one(
        &self,
        client: &Arc<GatewayClient>,
        request: &Request<'_>,
        batch: Option<&OnceCell<Arc<Batch>>>,
    ) -> Option<String> {
        if let Some((id, response)) = request.as_response() {
            self.hub.calls.answered(client.conn_id, id, response);
            return None;
        }
        let result = match request.check() {
            // Even without an id: what is no request is no notification.
            Err(error) if error.kind == ErrorKind::InvalidRequest => return Some(failure(request.id_or_null(), error)),
            checked => checked.and_then(|method| {
                let origin = Origin::Client { client, id: request.id, batch };
                Call { hub: &self.hub, methods: self.methods, origin, params: request.params }.run(&method)
            }),
        };
        let id = request.id?.get();
        match result {
            Ok(result) => result.map(|result| envelope::answer(id, &result)),
            Err(error) => Some(failure(id, error)),
        }
    }
}

fn failure(id: &str, error: RpcError) -> String {
    Outcome::Failed(error).answer(id)
}

impl Handler for Router {
    fn on_message(&self, client: &Arc<GatewayClient>, text: Utf8Bytes) {
        if let Some(answer) = self.answer(client, &text) {
            // A full outbox has closed the client; a closed one wants no answer.
            let _ = client.send(answer);
        }
    }

    fn on_connect(&self, _: &Arc<GatewayClient>) {
        self.hub.health_events.changed();
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
