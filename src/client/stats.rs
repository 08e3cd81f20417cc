//! What all sessions count together.

use super::close::CloseReason;
use crate::counters::{Counter, Gauge, Peak, RecentHistogram, Tally};

/// Totals over all connections since the start.
#[derive(Debug)]
pub struct Stats {
    /// Sessions that there are,
    pub sessions: Gauge,
    /// and the most that there ever were at once.
    pub most_sessions: Peak,
    /// Text messages received.
    pub messages_in: Counter,
    /// Text messages handed to the socket.
    pub messages_out: Counter,
    /// Bytes read from upgraded connections, frame headers included.
    pub bytes_in: Counter,
    /// Bytes written to upgraded connections, frame headers included.
    pub bytes_out: Counter,
    /// Ended connections by [`CloseReason`].
    pub closed: Tally,
    /// Of those, the ones whose peer answered the close frame, or sent the first.
    pub closed_cleanly: Counter,
    /// And the others.
    pub cut: Counter,
    /// Pings written to the socket.
    pub pings_sent: Counter,
    /// Answers to them.
    pub pongs_received: Counter,
    /// Round-trip times in microseconds.
    pub round_trips: RecentHistogram,
    /// Payload bytes in all outboxes.
    pub outbox_bytes: Gauge,
    /// The most payload bytes that were ever in one outbox.
    pub outbox_largest: Peak,
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            sessions: Gauge::default(),
            most_sessions: Peak::default(),
            messages_in: Counter::default(),
            messages_out: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            closed: Tally::new(CloseReason::LABELS),
            closed_cleanly: Counter::default(),
            cut: Counter::default(),
            pings_sent: Counter::default(),
            pongs_received: Counter::default(),
            round_trips: RecentHistogram::default(),
            outbox_bytes: Gauge::default(),
            outbox_largest: Peak::default(),
        }
    }
}
