//! Counters of connections before they become clients: accepted, in progress, failed, timed out.

use crate::metrics::{Counter, CounterVec, Gauge};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::sync::Arc;

/// The stage that a handshake had reached when it timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeStage {
    /// The peer has sent nothing.
    NothingSent,
    /// It has not finished its request header.
    HeaderUnfinished,
    /// It has not read our response.
    ResponseNotRead,
}

impl HandshakeStage {
    /// The labels of all stages, in order.
    pub const LABELS: &'static [&'static str] = &["nothing_sent", "header_unfinished", "response_not_read"];

    /// The name in the log and in `/status`.
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// Counters of accepted connections and their handshakes.
#[derive(Debug)]
pub struct HandshakeStats {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections that are neither a client nor answered yet.
    pub in_progress: Gauge,
    /// Connections that became clients.
    pub completed: Counter,
    /// Refused upgrades by the error's code, and connections that ended before they sent a request.
    pub failed: CounterVec,
    /// Handshakes that timed out, by stage.
    pub timed_out: CounterVec,
}

impl HandshakeStats {
    /// Counters at zero. `causes` are the labels of `failed`.
    pub fn new(causes: &'static [&'static str]) -> Self {
        HandshakeStats {
            accepted: Counter::default(),
            in_progress: Gauge::default(),
            completed: Counter::default(),
            failed: CounterVec::new(causes),
            timed_out: CounterVec::new(HandshakeStage::LABELS),
        }
    }
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

impl Serialize for HandshakeStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("HandshakeStats", 4)?;
        fields.serialize_field("in_progress", &self.in_progress.get())?;
        fields.serialize_field("completed", &self.completed)?;
        fields.serialize_field("failed", &self.failed)?;
        fields.serialize_field("timed_out", &self.timed_out)?;
        fields.end()
    }
}
