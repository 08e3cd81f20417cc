//! The responses to a batch, kept until the last of them is in.

use super::error::{ErrorKind, RpcError};
use super::response::NULL_ID;
use crate::client::{ConnId, GatewayClient};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::mem::take;
use std::sync::Arc;

/// The clients of which a batch waits for nodes.
pub type WaitingBatches = Mutex<HashSet<ConnId>>;

/// The responses to one batch, sent as one message when the last is in. Some may be deferred until nodes have answered; of
/// each client at most one batch waits for nodes, so what is kept for a client is bounded by `max_bytes`.
pub struct Batch {
    client: Arc<GatewayClient>,
    waiting: Arc<WaitingBatches>,
    /// Bytes of the message.
    max_bytes: usize,
    responses: Mutex<Responses>,
}

struct Responses {
    /// The JSON array without its closing bracket.
    text: String,
    /// Not even an error fits for each response that didn't.
    overflowed: bool,
    /// Deferred responses that aren't in, plus one until all requests have run.
    outstanding: usize,
    /// The client's one batch that waits for nodes is this one.
    is_waiting: bool,
}

impl Batch {
    /// A batch without responses.
    pub fn new(client: &Arc<GatewayClient>, waiting: &Arc<WaitingBatches>, max_bytes: usize) -> Arc<Self> {
        let responses = Responses { text: String::new(), overflowed: false, outstanding: 1, is_waiting: false };
        Arc::new(Batch {
            client: client.clone(),
            waiting: waiting.clone(),
            max_bytes,
            responses: Mutex::new(responses),
        })
    }

    /// The client that sent it.
    pub fn client(&self) -> &Arc<GatewayClient> {
        &self.client
    }

    /// Makes this the client's batch that waits for nodes.
    ///
    /// # Errors
    /// [`ErrorKind::CallerBusy`] while another one does.
    pub fn start_waiting(&self) -> Result<(), RpcError> {
        let mut responses = self.responses.lock();
        if !responses.is_waiting && !self.waiting.lock().insert(self.client.conn_id) {
            let message = "another batch of this client waits for nodes: wait for its response";
            return Err(RpcError::new(ErrorKind::CallerBusy, message).with("most", 1));
        }
        responses.is_waiting = true;
        Ok(())
    }

    /// Counts one more deferred response.
    pub fn add_outstanding(&self) {
        self.responses.lock().outstanding += 1;
    }

    /// Adds a response. One that doesn't fit is replaced by an error; the last quarter of the message is kept for those.
    pub fn add(&self, id: &str, response: String) {
        let mut responses = self.responses.lock();
        if responses.overflowed {
            return;
        }
        let used = responses.text.len() + 2;
        let response = if used + response.len() <= self.max_bytes / 4 * 3 {
            response
        } else {
            RpcError::answer_too_large(self.max_bytes).to_response(id)
        };
        if used + response.len() > self.max_bytes {
            responses.overflowed = true;
            responses.text = String::new();
            return;
        }
        let separator = if responses.text.is_empty() { '[' } else { ',' };
        responses.text.push(separator);
        responses.text.push_str(&response);
    }

    /// One response is in, or all requests have run: sends the message if nothing is outstanding. A batch of notifications
    /// has no response (JSON-RPC 2.0, section 6).
    pub fn complete_one(&self) {
        let mut responses = self.responses.lock();
        responses.outstanding -= 1;
        if responses.outstanding > 0 {
            return;
        }
        let message = if responses.overflowed {
            RpcError::answer_too_large(self.max_bytes).to_response(NULL_ID)
        } else if responses.text.is_empty() {
            return;
        } else {
            take(&mut responses.text) + "]"
        };
        self.stop_waiting(&mut responses);
        drop(responses);
        // A failure needs no handling: a client with a full outbox is closed, and a closed one reads nothing.
        let _ = self.client.send(message);
    }

    fn stop_waiting(&self, responses: &mut Responses) {
        if take(&mut responses.is_waiting) {
            self.waiting.lock().remove(&self.client.conn_id);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.responses.get_mut().is_waiting {
            self.waiting.lock().remove(&self.client.conn_id);
        }
    }
}
