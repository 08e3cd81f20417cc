//! The responses to a batch, collected until they are complete.

use super::error::{ErrorKind, RpcError};
use super::response::NULL_ID;
use crate::client::GatewayClient;
use crate::registry::ClientTable;
use parking_lot::Mutex;
use std::mem::{replace, take};
use std::sync::Arc;

/// The clients that have a batch waiting for nodes.
pub type WaitingBatches = ClientTable<bool>;

/// The responses to one batch, sent as one message once they are complete. Those of nodes are deferred. At most one
/// batch of a client waits for nodes while another one runs, so at most `2 * max_bytes` are kept for a client.
pub struct Batch {
    client: Arc<GatewayClient>,
    waiting: Arc<WaitingBatches>,
    /// The most bytes of the message.
    max_bytes: usize,
    responses: Mutex<Responses>,
}

struct Responses {
    /// The JSON array without its closing bracket.
    text: String,
    /// Not even the errors fit: a single error will answer the whole batch.
    overflowed: bool,
    /// Deferred responses that are still missing, plus one until all requests have run.
    outstanding: usize,
    /// Whether this is the client's batch that waits for nodes.
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

    /// The client that sent the batch.
    pub fn client(&self) -> &Arc<GatewayClient> {
        &self.client
    }

    /// Makes this the client's batch that waits for nodes.
    ///
    /// # Errors
    /// [`ErrorKind::CallerBusy`] if another batch of the client waits.
    pub fn start_waiting(&self) -> Result<(), RpcError> {
        let mut responses = self.responses.lock();
        if responses.is_waiting {
            return Ok(());
        }
        let other_waits = self.waiting.update(self.client.conn_id, |is_waiting| replace(is_waiting, true));
        if other_waits {
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

    /// Adds a response, or the error `answer_too_large` in its place if it doesn't fit into three quarters of
    /// `max_bytes`. The last quarter is for these errors, and for responses that aren't longer than their error.
    pub fn add(&self, id: &str, response: String) {
        let mut responses = self.responses.lock();
        if responses.overflowed {
            return;
        }
        let used = responses.text.len() + 2;
        let max_result_bytes = self.max_bytes / 4 * 3;
        let response = if used + response.len() <= max_result_bytes {
            response
        } else {
            let replacement = RpcError::answer_too_large(max_result_bytes).to_response(id);
            if response.len() <= replacement.len() { response } else { replacement }
        };
        if used + response.len() > self.max_bytes {
            responses.overflowed = true;
            self.client.sub_held(take(&mut responses.text).len());
            return;
        }
        let separator = if responses.text.is_empty() { '[' } else { ',' };
        responses.text.push(separator);
        responses.text.push_str(&response);
        self.client.add_held(response.len() + 1);
    }

    /// Called for each deferred response, and once when all requests have run. Sends the message when nothing is
    /// outstanding; no message is sent for a batch without responses (JSON-RPC 2.0, section 6).
    pub fn complete_one(&self) {
        let mut responses = self.responses.lock();
        responses.outstanding -= 1;
        if responses.outstanding > 0 {
            return;
        }
        // First, so that the client can send its next batch as soon as it has this response.
        self.stop_waiting(&mut responses);
        let message = if responses.overflowed {
            RpcError::answer_too_large(self.max_bytes).to_response(NULL_ID)
        } else if responses.text.is_empty() {
            return;
        } else {
            let text = take(&mut responses.text);
            self.client.sub_held(text.len());
            text + "]"
        };
        drop(responses);
        // A failure needs no handling: a client with a full outbox is closed, and a closed one reads nothing.
        let _ = self.client.send(message);
    }

    fn stop_waiting(&self, responses: &mut Responses) {
        if take(&mut responses.is_waiting) {
            self.waiting.take(self.client.conn_id);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let responses = self.responses.get_mut();
        self.client.sub_held(responses.text.len());
        if responses.is_waiting {
            self.waiting.take(self.client.conn_id);
        }
    }
}
