//! Where the answer to a call goes, now or later, exactly once.

use super::batch::Batch;
use super::error::{ErrorKind, RpcError};
use crate::client::GatewayClient;
use crate::rpc::protocol::message;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What came of a call.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// Its result, as JSON.
    Result(Cow<'a, str>),
    /// The error object that a node answered with.
    NodeError(Cow<'a, str>),
    /// What the gateway has to say instead.
    Failed(RpcError),
}

impl Outcome<'_> {
    fn into_owned(self) -> Outcome<'static> {
        match self {
            Outcome::Result(result) => Outcome::Result(result.into_owned().into()),
            Outcome::NodeError(error) => Outcome::NodeError(error.into_owned().into()),
            Outcome::Failed(error) => Outcome::Failed(error),
        }
    }

    /// The answer to the request with this ID.
    pub(crate) fn answer(&self, id: &str) -> String {
        match self {
            Outcome::Result(result) => message::success_response(id, result),
            Outcome::NodeError(error) => message::error_response(id, error),
            Outcome::Failed(error) => message::error_response(id, &error.to_json()),
        }
    }
}

/// A call's way back. Dropped without an answer it gives an error: whoever asks is always answered.
#[must_use = "the caller waits for it"]
pub(crate) struct Responder(Option<Target>);

enum Target {
    /// A client; a notification has no ID and is never answered.
    Client { client: Arc<GatewayClient>, id: Option<Box<RawValue>> },
    /// One answer among those to a batch.
    Batch { batch: Arc<Batch>, id: Option<Box<RawValue>> },
    /// A request over HTTP.
    Http(oneshot::Sender<Outcome<'static>>),
}

impl Responder {
    pub(crate) fn to_client(client: &Arc<GatewayClient>, id: Option<&RawValue>) -> Self {
        Responder(Some(Target::Client { client: client.clone(), id: id.map(RawValue::to_owned) }))
    }

    /// The batch waits for it.
    pub(crate) fn to_batch(batch: &Arc<Batch>, id: Option<&RawValue>) -> Self {
        batch.expect();
        Responder(Some(Target::Batch { batch: batch.clone(), id: id.map(RawValue::to_owned) }))
    }

    pub(crate) fn to_http() -> (Self, oneshot::Receiver<Outcome<'static>>) {
        let (sender, receiver) = oneshot::channel();
        (Responder(Some(Target::Http(sender))), receiver)
    }

    /// Gives the answer.
    pub(crate) fn send(mut self, outcome: Outcome<'_>) {
        if let Some(target) = self.0.take() {
            target.send(outcome);
        }
    }

    /// The caller has gone: there is nobody to answer.
    pub(crate) fn cancel(mut self) {
        self.0 = None;
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(target) = self.0.take() {
            target.send(Outcome::Failed(RpcError::new(ErrorKind::InternalError, "Internal error")));
        }
    }
}

impl Target {
    fn send(self, outcome: Outcome<'_>) {
        match self {
            Target::Client { client, id } => {
                if let Some(id) = id {
                    // A full outbox has closed the client; a closed one matches no answer.
                    let _ = client.send(outcome.answer(id.get()));
                }
            }
            Target::Batch { batch, id } => {
                if let Some(id) = id {
                    batch.push(id.get(), outcome.answer(id.get()));
                }
                if let Some(text) = batch.came() {
                    let _ = batch.client().send(text);
                }
            }
            // Identity waited may have gone.
            Target::Http(sender) => drop(sender.send(outcome.into_owned())),
        }
    }
}
