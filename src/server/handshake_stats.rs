//! Counters of connections before they become clients: accepted, in progress, failed, timed out.

use crate::http::error::HandshakeFailure;
use crate::labels::labels;
use crate::metrics::{Counter, CounterVec, Gauge};
use serde::Serialize;
use std::sync::Arc;

labels! {
    /// The stage at which a handshake timed out.
    pub enum HandshakeStage {
        /// The peer had sent nothing.
        NothingSent = "nothing_sent",
        /// The peer had not finished its request.
        HeaderUnfinished = "header_unfinished",
        /// The peer had not read the 101 response.
        ResponseNotRead = "response_not_read",
    }
}

/// Counters of accepted connections and their handshakes.
#[derive(Debug, Default, Serialize)]
pub struct HandshakeStats {
    /// Accepted connections; `/status` shows them as `accepted_total`.
    #[serde(skip)]
    pub accepted: Counter,
    /// Connections that have neither become clients, nor been refused, nor sent a plain request.
    pub in_progress: Gauge,
    /// Connections that became clients.
    pub completed: Counter,
    /// Refused connections and upgrades, invalid requests, and connections that ended before a request or before the
    /// 101 response was sent, by cause.
    pub failed: CounterVec<HandshakeFailure>,
    /// Handshakes that timed out, by stage.
    pub timed_out: CounterVec<HandshakeStage>,
}

/// Counts one connection in `in_progress` until it is dropped.
pub struct InProgressGuard(Arc<HandshakeStats>);

impl InProgressGuard {
    /// Increments `in_progress`.
    pub fn begin(handshakes: &Arc<HandshakeStats>) -> Self {
        handshakes.in_progress.add(1);
        InProgressGuard(handshakes.clone())
    }
}

impl Drop for InProgressGuard {
    fn drop(&mut self) {
        self.0.in_progress.sub(1);
    }
}
