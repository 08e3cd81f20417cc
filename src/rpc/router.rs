//! Dispatches JSON-RPC messages of clients to methods, and sends the responses.

use super::large_messages::LargeMessages;
use super::method::{Context, Method, MethodResult, Outcome, Source};
use super::methods::{METHODS, end_forbidden_subscriptions};
use super::node_calls::CallCounts;
use super::protocol::batch::Batch;
use super::protocol::error::{ErrorKind, RpcError};
use super::protocol::message::{self, Request};
use super::protocol::response::{NULL_ID, success_response};
use super::state::{RpcState, max_response_bytes};
use crate::budget;
use crate::client::{CloseReason, CloseRecord, GatewayClient, Handler, Message};
use crate::config::{Config, LiveConfig};
use crate::heartbeat::Heartbeat;
use crate::metrics::Counter;
use crate::registry::{ClientRegistry, Presence};
use crate::runtime::BoxFuture;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::task::coop;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// The gateway's JSON-RPC server: a cheap handle to the methods and their state.
#[derive(Clone)]
pub struct Router {
    pub(super) state: Arc<RpcState>,
    pub(super) methods: &'static [Method],
    /// Parses large messages, and the bodies of HTTP requests.
    pub large_messages: LargeMessages,
    config: Arc<LiveConfig>,
}

impl Router {
    /// A router for the clients of `registry` and `presence`; `heartbeat` runs the timeouts of calls.
    pub fn new(
        config: Arc<LiveConfig>,
        registry: Arc<ClientRegistry>,
        presence: Arc<Presence>,
        heartbeat: Arc<Heartbeat>,
    ) -> Self {
        Router {
            state: RpcState::new(&config, registry, presence, heartbeat),
            methods: METHODS,
            large_messages: LargeMessages::new(),
            config,
        }
    }

    /// Applies what has been derived from a configuration that is being replaced by this one.
    pub fn reload(&self, config: &Config) {
        self.state.identities.replace(&config.auth);
        self.state.max_response_bytes.store(max_response_bytes(config), Relaxed);
    }

    /// Ends the subscriptions of a client that its scopes no longer allow.
    pub fn end_forbidden_subscriptions(&self, client: &GatewayClient) {
        end_forbidden_subscriptions(&self.state, client);
    }

    fn max_response_bytes(&self) -> usize {
        self.state.max_response_bytes.load(Relaxed)
    }

    /// The counters of calls to nodes.
    pub fn call_counts(&self) -> &CallCounts {
        &self.state.calls.counts
    }

    /// Events published.
    pub fn events_published(&self) -> &Counter {
        &self.state.topics.published
    }

    /// Events enqueued, counted once for each subscriber.
    pub fn events_queued(&self) -> &Counter {
        &self.state.topics.queued
    }

    fn on_text(&self, client: &Arc<GatewayClient>, text: Utf8Bytes) -> Option<BoxFuture<'static, ()>> {
        budget::charge_bytes(text.len());
        if message::is_batch(&text) {
            return Some(Box::pin(self.clone().run_batch(client.clone(), text)));
        }
        if !LargeMessages::is_large(text.len()) {
            return self.run_text(client, &text);
        }
        let (router, client) = (self.clone(), client.clone());
        Some(Box::pin(async move {
            let future = router.large_messages.run(text.len(), || router.run_text(&client, &text)).await;
            if let Some(future) = future {
                future.await;
            }
        }))
    }

    /// Runs a message that isn't a batch.
    fn run_text(&self, client: &Arc<GatewayClient>, text: &str) -> Option<BoxFuture<'static, ()>> {
        match message::parse_request(text) {
            Ok(request) => self.run_request(client, &request),
            Err(error) => {
                send(client, error.to_response(NULL_ID));
                None
            }
        }
    }

    /// Runs a request that isn't in a batch. If its method returns a future, returns one that awaits it and responds.
    fn run_request(&self, client: &Arc<GatewayClient>, request: &Request<'_>) -> Option<BoxFuture<'static, ()>> {
        let Dispatched { id, result } = self.dispatch(client, request, None)?;
        let response = match result {
            Ok(Outcome::Ready(result)) => id.map(|id| self.response(id, &result)),
            Ok(Outcome::Deferred(..)) => None,
            Ok(Outcome::Future(future)) => {
                let (router, client, id) = (self.clone(), client.clone(), id.map(str::to_owned));
                return Some(Box::pin(async move {
                    let result = future.await;
                    if let Some(id) = id {
                        send(&client, router.response(&id, &result));
                    }
                }));
            }
            Err(error) => id.map(|id| error.to_response(id)),
        };
        if let Some(response) = response {
            send(client, response);
        }
        None
    }

    /// Runs the requests of a batch one after the other. Each takes at least one unit of the task's coop budget.
    async fn run_batch(self, client: Arc<GatewayClient>, text: Utf8Bytes) {
        let parse = || message::parse_batch(&text, self.config.load().limits.max_batch_requests);
        let requests = match self.large_messages.run(text.len(), parse).await {
            Ok(requests) => requests,
            Err(error) => return send(&client, error.to_response(NULL_ID)),
        };
        let batch = Batch::new(&client, &self.state.waiting_batches, self.max_response_bytes());
        for request in requests {
            self.run_in_batch(&batch, request.get()).await;
            coop::consume_budget().await;
        }
        batch.complete_one();
    }

    async fn run_in_batch(&self, batch: &Arc<Batch>, text: &str) {
        let dispatch = || match message::parse_request(text) {
            Ok(request) => self.dispatch(batch.client(), &request, Some(batch)),
            Err(error) => Some(Dispatched { id: Some(NULL_ID), result: Err(error) }),
        };
        let Some(Dispatched { id, result }) = self.large_messages.run(text.len(), dispatch).await else { return };
        let result = match result {
            Ok(Outcome::Ready(result)) => Ok(result),
            Ok(Outcome::Future(future)) => Ok(future.await.into()),
            Ok(Outcome::Deferred(..)) => return,
            Err(error) => Err(error),
        };
        let Some(id) = id else { return };
        batch.add(
            id,
            match result {
                Ok(result) => success_response(id, &result),
                Err(error) => error.to_response(id),
            },
        );
    }

    /// Calls the method of a request. `None` if the message is a response, to which nothing is sent.
    fn dispatch<'a>(
        &'a self,
        client: &'a Arc<GatewayClient>,
        request: &Request<'a>,
        batch: Option<&'a Arc<Batch>>,
    ) -> Option<Dispatched<'a>> {
        if let Some((id, response)) = request.as_response()
            && self.state.calls.on_response(client.conn_id, id, response)
        {
            return None;
        }
        match request.validate() {
            // Answered even without an ID: an invalid request is no notification (JSON-RPC 2.0, section 5).
            Err(error) if error.kind == ErrorKind::InvalidRequest => {
                Some(Dispatched { id: Some(request.id_or_null()), result: Err(error) })
            }
            validated => {
                let result = validated.and_then(|method| {
                    let source = Source::Client { client, id: request.id, batch };
                    let (state, methods, params) = (&self.state, self.methods, request.params);
                    Context { state, methods, source, params }.run(&method)
                });
                Some(Dispatched { id: request.id.map(RawValue::get), result })
            }
        }
    }

    /// The response with this result, or with an error if it would be too large.
    fn response(&self, id: &str, result: &str) -> String {
        let response = success_response(id, result);
        if response.len() <= self.max_response_bytes() {
            response
        } else {
            RpcError::answer_too_large(self.max_response_bytes()).to_response(id)
        }
    }
}

/// A request's outcome with its ID. A notification has no ID, and its outcome isn't sent.
struct Dispatched<'a> {
    id: Option<&'a str>,
    result: MethodResult<'a>,
}

/// Sends a response. A failure needs no handling: a client with a full outbox is closed, and a closed one reads
/// nothing.
fn send(client: &GatewayClient, response: String) {
    let _ = client.send(response);
}

impl Handler for Router {
    fn on_message(&self, client: &Arc<GatewayClient>, message: Message) -> Option<BoxFuture<'static, ()>> {
        match message {
            Message::Text(text) => self.on_text(client, text),
            Message::Binary(_) => {
                client.close(CloseReason::UnsupportedData);
                None
            }
        }
    }

    fn on_connect(&self, _: &Arc<GatewayClient>) {
        self.state.health_events.on_change();
    }

    fn on_closing(&self, client: &Arc<GatewayClient>) {
        self.state.calls.fail_node(client.conn_id);
    }

    fn on_ended(&self, record: &CloseRecord) {
        self.state.closed.push(record.clone());
    }

    fn on_disconnect(&self, client: &Arc<GatewayClient>, _: &CloseRecord) {
        self.state.remove_client(client.conn_id);
        self.state.health_events.on_change();
    }

    fn on_joined(&self, client: &Arc<GatewayClient>) {
        self.state.publish_presence(client, "joined", None);
    }

    fn on_left(&self, client: &Arc<GatewayClient>) {
        self.state.publish_presence(client, "left", client.close_reason());
    }

    fn on_drain(&self) {
        self.state.calls.drain();
    }
}

#[cfg(test)]
mod tests;
