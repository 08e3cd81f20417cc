//! Totals over all sessions of a gateway.

use super::close_reason::CloseReason;
use crate::metrics::{Counter, CounterVec, Gauge, MaxGauge, WindowedHistogram};

/// Totals over all connections since the start.
#[derive(Debug, Default)]
pub struct SessionStats {
    /// Sessions now.
    pub sessions: Gauge,
    /// The most sessions at once.
    pub peak_sessions: MaxGauge,
    /// Text messages received.
    pub messages_in: Counter,
    /// Text messages that sockets have accepted.
    pub messages_out: Counter,
    /// Bytes read from upgraded connections, frame headers included.
    pub bytes_in: Counter,
    /// Bytes written to upgraded connections, frame headers included.
    pub bytes_out: Counter,
    /// Ended connections by reason.
    pub closed: CounterVec<CloseReason>,
    /// Of those, the ones on which both sides sent a close frame.
    pub closed_cleanly: Counter,
    /// Of those, the others.
    pub closed_uncleanly: Counter,
    /// Pings written.
    pub pings_sent: Counter,
    /// Pongs received that answer the latest ping.
    pub pongs_received: Counter,
    /// Round-trip times in microseconds.
    pub round_trips: WindowedHistogram,
    /// Payload bytes in all outboxes.
    pub outbox_bytes: Gauge,
    /// The most payload bytes in one outbox.
    pub outbox_peak_bytes: MaxGauge,
}
