//! What happens before a connection is a client.

use crate::metrics::{Counter, Gauge, LabelledCounters};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::sync::Arc;

/// How far a handshake was when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeStage {
    /// The peer has sent nothing.
    NothingSent,
    /// It has not finished its request.
    HeaderUnfinished,
    /// It has not taken our answer.
    ResponseNotRead,
}

impl HandshakeStage {
    /// The labels of all steps.
    pub const LABELS: &'static [&'static str] = &["nothing_sent", "header_unfinished", "response_not_read"];

    /// The word in the log and in `/status`.
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// Counts of accepted connections and of what became of them.
#[derive(Debug)]
pub struct HandshakeStats {
    /// Connections accepted.
    pub accepted: Counter,
    /// Those that are neither clients nor answered yet.
    pub in_progress: Gauge,
    /// Those that became clients.
    pub completed: Counter,
    /// Upgrades refused, by the error's code, and connections that ended before they asked for anything.
    pub failed: LabelledCounters,
    /// Those whose time was over, by step.
    pub timed_out: LabelledCounters,
}

impl HandshakeStats {
    /// All at zero; `causes` are the labels of `failed`.
    pub fn new(causes: &'static [&'static str]) -> Self {
        HandshakeStats {
            accepted: Counter::default(),
            in_progress: Gauge::default(),
            completed: Counter::default(),
            failed: LabelledCounters::new(causes),
            timed_out: LabelledCounters::new(HandshakeStage::LABELS),
        }
    }
}

/// A connection that is neither a client nor answered yet; no longer when dropped.
pub struct InProgressGuard(Arc<HandshakeStats>);

impl InProgressGuard {
    /// Counts one more.
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
