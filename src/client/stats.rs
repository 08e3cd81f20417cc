//! What all sessions count together.

use super::close_reason::CloseReason;
use crate::metrics::{Counter, CounterVec, Gauge, MaxGauge, WindowedHistogram};

/// Totals over all connections since the start.
#[derive(Debug, Default)]
pub struct SessionStats {
    /// Sessions that there are,
    pub sessions: Gauge,
    /// and the most that there ever were at once.
    pub peak_sessions: MaxGauge,
    /// Text messages received.
    pub messages_in: Counter,
    /// Text messages handed to the socket.
    pub messages_out: Counter,
    /// Bytes read from upgraded connections, frame headers included.
    pub bytes_in: Counter,
    /// Bytes written to upgraded connections, frame headers included.
    pub bytes_out: Counter,
    /// Ended connections by [`CloseReason`].
    pub closed: CounterVec<CloseReason>,
    /// Of those, the ones whose peer answered the close frame, or sent the first.
    pub closed_cleanly: Counter,
    /// And the others.
    pub closed_uncleanly: Counter,
    /// Pings written to the socket.
    pub pings_sent: Counter,
    /// Answers to them.
    pub pongs_received: Counter,
    /// Round-trip times in microseconds.
    pub round_trips: WindowedHistogram,
    /// Payload bytes in all outboxes.
    pub outbox_bytes: Gauge,
    /// The most payload bytes that were ever in one outbox.
    pub outbox_peak: MaxGauge,
}
