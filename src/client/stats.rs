//! Metrics of all sessions of a gateway.

use super::close_reason::CloseReason;
use crate::metrics::{Counter, CounterVec, Gauge, MaxGauge, WindowedHistogram};

/// Metrics of all sessions since the start.
#[derive(Debug, Default)]
pub struct SessionStats {
    /// Open sessions.
    pub sessions: Gauge,
    /// The most sessions that were open at once.
    pub peak_sessions: MaxGauge,
    /// Text and binary messages received.
    pub messages_in: Counter,
    /// Text and binary messages that sockets have accepted.
    pub messages_out: Counter,
    /// Bytes read from upgraded connections, frame headers included.
    pub bytes_in: Counter,
    /// Bytes written to upgraded connections, frame headers included.
    pub bytes_out: Counter,
    /// Ended connections by reason.
    pub closed: CounterVec<CloseReason>,
    /// Ended connections on which both sides sent a close frame.
    pub closed_cleanly: Counter,
    /// All other ended connections.
    pub closed_uncleanly: Counter,
    /// Pings written.
    pub pings_sent: Counter,
    /// Pongs received that answer the latest ping.
    pub pongs_received: Counter,
    /// Round-trip times in microseconds.
    pub round_trips: WindowedHistogram,
    /// Bytes in all outboxes, as they count against the limit.
    pub outbox_bytes: Gauge,
    /// The most bytes in one outbox.
    pub outbox_peak_bytes: MaxGauge,
}
