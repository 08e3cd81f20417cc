//! Sends the result of a deferred call to its caller: exactly once, unless the call is cancelled.

use super::batch::Batch;
use super::error::RpcError;
use super::response::{error_response, success_response};
use crate::client::GatewayClient;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The most bytes of the ID of a request whose result is deferred: the ID is kept until the result is sent.
const MAX_ID_BYTES: usize = 256;

/// The result of a call.
#[derive(Debug)]
pub enum CallResult<'a> {
    /// The method's result, as JSON.
    Success(Cow<'a, str>),
    /// The error object that a node answered with, as JSON.
    NodeError(Cow<'a, str>),
    /// An error of the gateway.
    Failed(RpcError),
}

impl CallResult<'_> {
    fn into_owned(self) -> CallResult<'static> {
        match self {
            CallResult::Success(result) => CallResult::Success(result.into_owned().into()),
            CallResult::NodeError(error) => CallResult::NodeError(error.into_owned().into()),
            CallResult::Failed(error) => CallResult::Failed(error),
        }
    }

    fn to_response(&self, id: &str) -> String {
        match self {
            CallResult::Success(result) => success_response(id, result),
            CallResult::NodeError(error) => error_response(id, error),
            CallResult::Failed(error) => error.to_response(id),
        }
    }
}

/// Sends the result of a deferred call. If it is dropped first, it sends an internal error, so that every caller gets a
/// response.
#[must_use = "dropping it sends an internal error"]
pub struct Responder(Option<Target>);

enum Target {
    /// A client's request. A notification has no ID and gets no response.
    Client { client: Arc<GatewayClient>, id: Option<Box<RawValue>> },
    /// A request in a batch, likewise.
    Batch { batch: Arc<Batch>, id: Option<Box<RawValue>> },
    /// A request over HTTP.
    Http(oneshot::Sender<CallResult<'static>>),
}

impl Responder {
    /// Fails for an ID that is too long to be kept.
    pub fn check_id(id: Option<&RawValue>) -> Result<(), RpcError> {
        if id.is_some_and(|id| id.get().len() > MAX_ID_BYTES) {
            let expected = format!("at most {MAX_ID_BYTES} bytes, since it is kept until the node has answered");
            return Err(RpcError::invalid_member("id", &expected));
        }
        Ok(())
    }

    /// A responder for a client's request.
    pub fn to_client(client: &Arc<GatewayClient>, id: Option<&RawValue>) -> Self {
        Responder(Some(Target::Client { client: client.clone(), id: id.map(RawValue::to_owned) }))
    }

    /// A responder for a request in a batch, which isn't complete before this has sent.
    pub fn to_batch(batch: &Arc<Batch>, id: Option<&RawValue>) -> Self {
        batch.add_outstanding();
        Responder(Some(Target::Batch { batch: batch.clone(), id: id.map(RawValue::to_owned) }))
    }

    /// A responder for a request over HTTP, and the receiver of the result.
    pub fn to_http() -> (Self, oneshot::Receiver<CallResult<'static>>) {
        let (sender, receiver) = oneshot::channel();
        (Responder(Some(Target::Http(sender))), receiver)
    }

    /// Sends the result.
    pub fn send(mut self, result: CallResult<'_>) {
        if let Some(target) = self.0.take() {
            target.send(result);
        }
    }

    /// Sends nothing: the caller has disconnected.
    pub fn cancel(mut self) {
        self.0 = None;
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(target) = self.0.take() {
            target.send(CallResult::Failed(RpcError::internal_error()));
        }
    }
}

impl Target {
    fn send(self, result: CallResult<'_>) {
        match self {
            Target::Client { client, id } => {
                if let Some(id) = id {
                    // A failure needs no handling: a client with a full outbox is closed, and a closed one reads
                    // nothing.
                    let _ = client.send(result.to_response(id.get()));
                }
            }
            Target::Batch { batch, id } => {
                if let Some(id) = id {
                    batch.add(id.get(), result.to_response(id.get()));
                }
                batch.complete_one();
            }
            // Fails if the call was dropped, for example at its deadline.
            Target::Http(sender) => drop(sender.send(result.into_owned())),
        }
    }
}
