//! What happens before a connection is a client.

use crate::counters::{Counter, Gauge, Tally};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::sync::Arc;

/// How far a handshake was when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The peer has sent nothing.
    NothingSent,
    /// It has not finished its request.
    HeaderUnfinished,
    /// It has not taken our answer.
    ResponseNotRead,
}

impl Step {
    /// The labels of all steps.
    pub const LABELS: &'static [&'static str] = &["nothing_sent", "header_unfinished", "response_not_read"];

    /// The word in the log and in `/status`.
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}

/// Counts of accepted connections and of what became of them.
#[derive(Debug)]
pub struct Handshakes {
    /// Connections accepted.
    pub accepted: Counter,
    /// Those that are neither clients nor answered yet.
    pub in_progress: Gauge,
    /// Those that became clients.
    pub completed: Counter,
    /// Upgrades refused, by the error's code, and connections that ended before they asked for anything.
    pub failed: Tally,
    /// Those whose time was over, by step.
    pub timed_out: Tally,
}

impl Handshakes {
    /// All at zero; `causes` are the labels of `failed`.
    pub fn new(causes: &'static [&'static str]) -> Self {
        Handshakes {
            accepted: Counter::default(),
            in_progress: Gauge::default(),
            completed: Counter::default(),
            failed: Tally::new(causes),
            timed_out: Tally::new(Step::LABELS),
        }
    }
}

/// A connection that is neither a client nor answered yet; no longer when dropped.
pub struct InProgress(Arc<Handshakes>);

impl InProgress {
    /// Counts one more.
    pub fn begin(handshakes: &Arc<Handshakes>) -> Self {
        handshakes.in_progress.add(1);
        InProgress(handshakes.clone())
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.sub(1);
    }
}

impl Serialize for Handshakes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Handshakes", 4)?;
        fields.serialize_field("in_progress", &self.in_progress.get())?;
        fields.serialize_field("completed", &self.completed)?;
        fields.serialize_field("failed", &self.failed)?;
        fields.serialize_field("timed_out", &self.timed_out)?;
        fields.end()
    }
}
