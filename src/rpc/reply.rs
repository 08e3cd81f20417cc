//! Where the answer to a call goes, now or later, exactly once.

use super::batch::Batch;
use super::envelope;
use super::error::{ErrorKind, RpcError};
use crate::client::GatewayClient;
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
    pub(super) fn answer(&self, id: &str) -> String {
        match self {
            Outcome::Result(result) => envelope::answer(id, result),
            Outcome::NodeError(error) => envelope::error_answer(id, error),
            Outcome::Failed(error) => envelope::error_answer(id, &error.to_json()),
        }
    }
}

/// A call's way back. Dropped without an answer it gives an error: whoever asks is always answered.
#[must_use = "the caller waits for it"]
pub(super) struct Reply(Option<To>);

enum To {
    /// A client; a notification has no ID and is never answered.
    Client { client: Arc<GatewayClient>, id: Option<Box<RawValue>> },
    /// One answer among those to a batch.
    Batch { batch: Arc<Batch>, id: Option<Box<RawValue>> },
    /// A request over HTTP.
    Http(oneshot::Sender<Outcome<'static>>),
}

impl Reply {
    pub(super) fn to_client(client: &Arc<GatewayClient>, id: Option<&RawValue>) -> Self {
        Reply(Some(To::Client { client: client.clone(), id: id.map(RawValue::to_owned) }))
    }

    /// The batch waits for it.
    pub(super) fn to_batch(batch: &Arc<Batch>, id: Option<&RawValue>) -> Self {
        batch.expect();
        Reply(Some(To::Batch { batch: batch.clone(), id: id.map(RawValue::to_owned) }))
    }

    pub(super) fn to_http() -> (Self, oneshot::Receiver<Outcome<'static>>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(Some(To::Http(sender))), receiver)
    }

    /// Gives the answer.
    pub(super) fn give(mut self, outcome: Outcome<'_>) {
        if let Some(to) = self.0.take() {
            to.give(outcome);
        }
    }

    /// The caller has gone: there is nobody to answer.
    pub(super) fn discard(mut self) {
        self.0 = None;
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(to) = self.0.take() {
            to.give(Outcome::Failed(RpcError::new(ErrorKind::InternalError, "Internal error")));
        }
    }
}

impl To {
    fn give(self, outcome: Outcome<'_>) {
        match self {
            To::Client { client, id } => {
                if let Some(id) = id {
                    // A full outbox has closed the client; a closed one wants no answer.
                    let _ = client.send(outcome.answer(id.get()));
                }
            }
            To::Batch { batch, id } => {
                if let Some(id) = id {
                    batch.push(id.get(), outcome.answer(id.get()));
                }
                if let Some(text) = batch.came() {
                    let _ = batch.client().send(text);
                }
            }
            // Who waited may have gone.
            To::Http(sender) => drop(sender.send(outcome.into_owned())),
        }
    }
}
