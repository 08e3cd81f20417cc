//! Where the answer to a call goes, now or later, exactly once.

use super::call::MAX_KEPT_ID;
use super::envelope;
use super::error::{ErrorKind, RpcError};
use crate::client::{ByClient, GatewayClient};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The ID of an answer to what has none.
pub(super) const NULL: &str = "null";

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
        batch.answers.lock().missing += 1;
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
                    let _ = batch.client.send(text);
                }
            }
            // Who waited may have gone.
            To::Http(sender) => drop(sender.send(outcome.into_owned())),
        }
    }
}

/// Bytes of answers that wait, by the client whose batches they belong to.
pub(super) type KeptBytes = ByClient<Option<NonZeroUsize>>;

/// An error that stands in for an answer, with its ID.
const ERROR_BYTES: usize = MAX_KEPT_ID + 256;

/// The answers to a batch, of which some may come later: they go together, when the last of them is there.
pub(super) struct Batch {
    client: Arc<GatewayClient>,
    kept: Arc<KeptBytes>,
    /// Bytes that all answers which are kept for the client may have, and those of one batch when they go.
    most: usize,
    /// Bytes of that which are not for large answers: whatever stands in for those finds room.
    reserve: usize,
    answers: Mutex<Answers>,
}

struct Answers {
    /// The array without its end.
    text: String,
    /// Bytes of it that count among those that are kept.
    counted: usize,
    /// Answers that will come, and the end of those that are there at once.
    missing: usize,
}

impl Batch {
    /// For the answers to so many requests.
    pub(super) fn new(client: &Arc<GatewayClient>, kept: &Arc<KeptBytes>, most: usize, requests: usize) -> Arc<Self> {
        let answers = Mutex::new(Answers { text: String::new(), counted: 0, missing: 1 });
        let reserve = (requests * ERROR_BYTES).min(most / 2);
        Arc::new(Batch { client: client.clone(), kept: kept.clone(), most, reserve, answers })
    }

    /// Who asks.
    pub(super) fn client(&self) -> &Arc<GatewayClient> {
        &self.client
    }

    /// That there is room for an answer that comes later. A batch for which there is none waits for nothing.
    pub(super) fn check_room(&self) -> Result<(), RpcError> {
        let kept = self.kept.read(self.client.conn_id, |kept| kept.map_or(0, NonZeroUsize::get));
        if kept < self.most - self.reserve { Ok(()) } else { Err(RpcError::answer_too_large(self.most)) }
    }

    /// Takes in an answer, or that there is no room for it.
    pub(super) fn push(&self, id: &str, answer: String) {
        let most = if answer.len() > ERROR_BYTES { self.most - self.reserve } else { self.most };
        let answer = if self.keep(answer.len(), most) {
            answer
        } else {
            let instead = Outcome::Failed(RpcError::answer_too_large(self.most)).answer(id);
            self.keep(instead.len(), usize::MAX);
            instead
        };
        let mut answers = self.answers.lock();
        answers.counted += answer.len();
        let before = if answers.text.is_empty() { '[' } else { ',' };
        answers.text.push(before);
        answers.text.push_str(&answer);
    }

    /// One that was missing is there. With the last one, this is the whole answer, if there is any.
    pub(super) fn came(&self) -> Option<String> {
        let mut answers = self.answers.lock();
        answers.missing -= 1;
        if answers.missing > 0 {
            return None;
        }
        let (text, counted) = (std::mem::take(&mut answers.text), std::mem::take(&mut answers.counted));
        drop(answers);
        // Before anybody has the answer, and asks for more.
        self.release(counted);
        match text.len() {
            0 => None,
            length if length < self.most => Some(text + "]"),
            // So many requests that not even what stands in for their answers has room.
            _ => Some(Outcome::Failed(RpcError::answer_too_large(self.most)).answer(NULL)),
        }
    }

    /// Counts so many bytes more, unless they are more than `most` with all that are kept.
    fn keep(&self, bytes: usize, most: usize) -> bool {
        self.kept.change(self.client.conn_id, |kept| {
            let all = kept.map_or(0, NonZeroUsize::get) + bytes;
            let has_room = all <= most;
            if has_room {
                *kept = NonZeroUsize::new(all);
            }
            has_room
        })
    }

    fn release(&self, bytes: usize) {
        self.kept.change(self.client.conn_id, |kept| {
            *kept = kept.and_then(|all| NonZeroUsize::new(all.get() - bytes));
        });
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let counted = self.answers.get_mut().counted;
        self.release(counted);
    }
}
