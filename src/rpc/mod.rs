//! JSON-RPC 2.0 over text messages: envelopes in, methods called, answers sent to the client that asked.
//!
//! Reached through [`Handler`]; knows nothing of streams.

mod envelope;
mod methods;

use crate::client::{ClientRegistry, GatewayClient, Handler, Utf8Bytes};
use envelope::{ErrorCode, Incoming, Request};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Calls the gateway's own methods.
pub struct Router {
    registry: Arc<ClientRegistry>,
    max_batch_requests: usize,
}

impl Router {
    /// A router that knows the clients of `registry`, and answers at most `max_batch_requests` in one batch.
    pub fn new(registry: Arc<ClientRegistry>, max_batch_requests: usize) -> Self {
        Router { registry, max_batch_requests }
    }

    /// The answer to one message; `None` when nothing in it calls for one.
    fn answer(&self, client: &GatewayClient, text: &str) -> Option<String> {
        match envelope::parse(text, self.max_batch_requests) {
            Ok(Incoming::Single(request)) => self.answer_one(client, request),
            Ok(Incoming::Batch(requests)) => self.answer_batch(client, requests),
            Err(error) => Some(error.answer(None)),
        }
    }

    fn answer_batch(&self, client: &GatewayClient, requests: Vec<&RawValue>) -> Option<String> {
        let mut batch = String::from("[");
        for request in requests {
            let answer = match envelope::parse_request(request.get()) {
                Ok(request) => self.answer_one(client, request),
                Err(error) => Some(error.answer(None)),
            };
            if let Some(answer) = answer {
                batch.push_str(if batch.len() > 1 { "," } else { "" });
                batch.push_str(&answer);
            }
        }
        batch.push(']');
        (batch.len() > 2).then_some(batch)
    }

    fn answer_one(&self, client: &GatewayClient, request: Request<'_>) -> Option<String> {
        let result = match request.check() {
            // Even without an id: what is no request is no notification.
            Err(error) if error.code == ErrorCode::InvalidRequest => return Some(error.answer(request.id)),
            checked => checked.and_then(|method| {
                let call = methods::Call { client, registry: &self.registry, params: request.params };
                methods::call(&method, &call)
            }),
        };
        let id = request.id?;
        Some(result.map_or_else(|error| error.answer(Some(id)), |result| envelope::answer(id, &result)))
    }
}

impl Handler for Router {
    fn on_message(&self, client: &Arc<GatewayClient>, text: Utf8Bytes) {
        if let Some(answer) = self.answer(client, &text) {
            // A full outbox has closed the client; a closed one wants no answer.
            let _ = client.send(answer);
        }
    }
}

#[cfg(test)]
mod tests;
