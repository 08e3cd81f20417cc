//! Counters of calls on nodes, as `/status` shows them.

use crate::metrics::{Counter, CounterVec, Gauge};
use crate::rpc::protocol::error::ErrorKind;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Counters of all calls.
pub struct CallCounts {
    /// Calls that are pending.
    pub(super) in_flight: Gauge,
    /// Calls started, including those that failed at once.
    pub(super) started: Counter,
    /// Calls that ended, by result.
    pub(super) ended: CounterVec,
    /// Responses to no pending call.
    pub(super) unmatched_responses: Counter,
}

impl CallCounts {
    pub(super) const ANSWERED: &'static str = "answered";
    pub(super) const NODE_ERROR: &'static str = "node_error";
    pub(super) const CANCELLED: &'static str = "cancelled";
    const LABELS: &'static [&'static str] = &[
        Self::ANSWERED,
        Self::NODE_ERROR,
        Self::CANCELLED,
        ErrorKind::Timeout.reason(),
        ErrorKind::NodeDisconnected.reason(),
        ErrorKind::Draining.reason(),
        ErrorKind::InvalidAnswer.reason(),
        ErrorKind::CallerBusy.reason(),
        ErrorKind::NodeBusy.reason(),
        ErrorKind::NodeOutboxFull.reason(),
    ];
}

impl Default for CallCounts {
    fn default() -> Self {
        let (in_flight, ended) = (Gauge::default(), CounterVec::new(Self::LABELS));
        CallCounts { in_flight, started: Counter::default(), ended, unmatched_responses: Counter::default() }
    }
}

impl Serialize for CallCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("CallCounts", 4)?;
        fields.serialize_field("in_flight", &self.in_flight.get())?;
        fields.serialize_field("started", &self.started)?;
        fields.serialize_field("ended", &self.ended)?;
        fields.serialize_field("answers_ignored", &self.unmatched_responses)?;
        fields.end()
    }
}
