//! The answers to a batch, kept until the last of them is there; how much is kept for each client is bounded.

use super::error::RpcError;
use crate::client::GatewayClient;
use crate::registry::ClientTable;
use crate::rpc::protocol::message;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Bytes of answers that wait, by the client whose batches they belong to.
pub(crate) type BatchBytes = ClientTable<Option<NonZeroUsize>>;

/// The ID of an answer to what has none.
pub(crate) const NULL: &str = "null";

/// Bytes of a request's ID that is kept until its answer comes.
const MAX_KEPT_ID: usize = 256;

/// An error that stands in for an answer, with its ID.
const ERROR_BYTES: usize = MAX_KEPT_ID + 256;

/// The answers to a batch, of which some may come later: they go together, when the last of them is there.
pub(crate) struct Batch {
    client: Arc<GatewayClient>,
    kept: Arc<BatchBytes>,
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

/// That an ID is no longer than what may be kept; in a batch, all are.
pub(crate) fn check_kept_id(id: Option<&RawValue>) -> Result<(), RpcError> {
    match id.map(RawValue::get) {
        Some(id) if id.len() > MAX_KEPT_ID => {
            Err(RpcError::invalid_member("id", &format!("at most {MAX_KEPT_ID} bytes, for it is kept")))
        }
        _ => Ok(()),
    }
}

impl Batch {
    /// For the answers to so many requests.
    pub(crate) fn new(client: &Arc<GatewayClient>, kept: &Arc<BatchBytes>, most: usize, requests: usize) -> Arc<Self> {
        let answers = Mutex::new(Answers { text: String::new(), counted: 0, missing: 1 });
        let reserve = (requests * ERROR_BYTES).min(most / 2);
        Arc::new(Batch { client: client.clone(), kept: kept.clone(), most, reserve, answers })
    }

    /// Identity asks.
    pub(crate) fn client(&self) -> &Arc<GatewayClient> {
        &self.client
    }

    /// That there is room for an answer that comes later. A batch for which there is none waits for nothing.
    pub(crate) fn check_room(&self) -> Result<(), RpcError> {
        let kept = self.kept.read(self.client.conn_id, |kept| kept.map_or(0, NonZeroUsize::get));
        if kept < self.most - self.reserve { Ok(()) } else { Err(RpcError::answer_too_large(self.most)) }
    }

    /// One more answer will come.
    pub(crate) fn expect(&self) {
        self.answers.lock().missing += 1;
    }

    /// Takes in an answer, or that there is no room for it.
    pub(crate) fn push(&self, id: &str, answer: String) {
        let most = if answer.len() > ERROR_BYTES { self.most - self.reserve } else { self.most };
        let answer = if self.keep(answer.len(), most) {
            answer
        } else {
            let instead = self.too_large(id);
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
    pub(crate) fn came(&self) -> Option<String> {
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
            _ => Some(self.too_large(NULL)),
        }
    }

    fn too_large(&self, id: &str) -> String {
        message::error_response(id, &RpcError::answer_too_large(self.most).to_json())
    }

    /// Counts so many bytes more, unless they are more than `most` with all that are kept.
    fn keep(&self, bytes: usize, most: usize) -> bool {
        self.kept.update(self.client.conn_id, |kept| {
            let all = kept.map_or(0, NonZeroUsize::get) + bytes;
            let has_room = all <= most;
            if has_room {
                *kept = NonZeroUsize::new(all);
            }
            has_room
        })
    }

    fn release(&self, bytes: usize) {
        self.kept.update(self.client.conn_id, |kept| {
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
