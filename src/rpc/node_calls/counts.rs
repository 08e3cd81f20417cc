//! Counters of calls to nodes, as `/status` shows them.

use crate::labels::labels;
use crate::metrics::{Counter, CounterVec, Gauge};
use serde::Serialize;

labels! {
    /// How a call ended.
    pub enum CallEnd {
        /// The node answered with a result.
        Answered = "answered",
        /// The node answered with an error.
        NodeError = "node_error",
        /// The caller disconnected.
        Cancelled = "cancelled",
        /// The node didn't answer in time.
        Timeout = "timeout",
        /// The node disconnected before it answered.
        NodeDisconnected = "node_disconnected",
        /// The gateway shut down.
        Draining = "draining",
        /// The node's answer isn't a valid JSON-RPC response.
        InvalidAnswer = "invalid_answer",
        /// The caller has reached `calls.max_per_caller`.
        CallerBusy = "caller_busy",
        /// The node has reached `calls.max_per_node`.
        NodeBusy = "node_busy",
        /// The node's outbox is full.
        NodeOutboxFull = "node_outbox_full",
    }
}

/// Counters of all calls.
#[derive(Default, Serialize)]
pub struct CallCounts {
    /// Calls that are pending.
    pub(super) in_flight: Gauge,
    /// Calls started, including those that failed at once.
    pub(super) started: Counter,
    /// Calls that ended.
    pub(super) ended: CounterVec<CallEnd>,
    /// Responses to no pending call.
    #[serde(rename = "answers_ignored")]
    pub(super) unmatched_responses: Counter,
}
