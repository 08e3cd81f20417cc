//! What was received from a client: counts, the time of the last message, whether it is active, the last round trip,
//! and how much of it is held.

use crate::clock::Timestamp;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The bit of `last_message` that is set if anything was received since the last ping was requested.
const ACTIVE: u32 = 1;
/// The bit of `last_message` that is set while nothing is read, because the last message is still being handled, or
/// because a blocked outbox is half full.
const BUSY: u32 = 2;
/// The seconds in `last_message` are shifted by this many bits; the 30 bits that are left count 34 years.
const SECONDS_SHIFT: u32 = 2;

/// What was received from a client. Written by its session alone, except that the heartbeat clears [`ACTIVE`].
#[derive(Debug)]
pub(crate) struct Activity {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// The time of the last message, or else of the connect, in whole seconds, above the bits [`ACTIVE`] and [`BUSY`].
    last_message: AtomicU32,
    /// The last round trip in microseconds; 0 if none was measured.
    round_trip: AtomicU32,
    /// Bytes that are held of what was received, and of responses that aren't queued yet. The configuration limits them
    /// to below 4 GiB.
    held: AtomicU32,
}

/// How much was received from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Text and binary messages.
    pub messages: u64,
    /// Bytes, frame headers included.
    pub bytes: u64,
}

impl Activity {
    pub(crate) fn new(connected_at: Timestamp) -> Self {
        Activity {
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            last_message: AtomicU32::new(shifted_seconds(connected_at)),
            round_trip: AtomicU32::new(0),
            held: AtomicU32::new(0),
        }
    }

    pub(crate) fn received(&self) -> Received {
        Received { messages: self.messages.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.store(self.bytes.load(Relaxed) + bytes, Relaxed);
    }

    pub(crate) fn add_message(&self) {
        self.messages.store(self.messages.load(Relaxed) + 1, Relaxed);
        let last_message = shifted_seconds(Timestamp::now()) | ACTIVE;
        if self.last_message.load(Relaxed) != last_message {
            self.last_message.store(last_message, Relaxed);
        }
    }

    /// Bytes that are held of what was received, and of responses that aren't queued yet.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Relaxed).into()
    }

    pub(crate) fn add_held(&self, bytes: usize) {
        self.held.fetch_add(bytes as u32, Relaxed);
    }

    pub(crate) fn sub_held(&self, bytes: usize) {
        self.held.fetch_sub(bytes as u32, Relaxed);
    }

    /// The time since the last message, or else since the connect, in whole seconds.
    pub(crate) fn idle(&self) -> Duration {
        let seconds = self.last_message.load(Relaxed) >> SECONDS_SHIFT;
        Duration::from_secs(Timestamp::now().seconds().saturating_sub(seconds.into()))
    }

    /// Whether anything was received since the last [`clear_active`](Self::clear_active), or nothing is read now:
    /// [`BUSY`].
    pub(crate) fn is_active(&self) -> bool {
        self.last_message.load(Relaxed) & (ACTIVE | BUSY) != 0
    }

    pub(crate) fn mark_active(&self) {
        if self.last_message.load(Relaxed) & ACTIVE == 0 {
            self.last_message.fetch_or(ACTIVE, Relaxed);
        }
    }

    pub(crate) fn clear_active(&self) {
        self.last_message.fetch_and(!ACTIVE, Relaxed);
    }

    /// Nothing is read for now, not even pongs: the client counts as active until [`end_busy`](Self::end_busy).
    pub(crate) fn set_busy(&self) {
        self.last_message.fetch_or(BUSY, Relaxed);
    }

    /// Reading continues. A client that was busy counts as active until the next ping: its pong will be read.
    pub(crate) fn end_busy(&self) {
        if self.last_message.load(Relaxed) & BUSY != 0 {
            self.mark_active();
            self.last_message.fetch_and(!BUSY, Relaxed);
        }
    }

    /// The last round trip of a ping, to the microsecond.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match self.round_trip.load(Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros.into())),
        }
    }

    pub(crate) fn set_round_trip(&self, round_trip: Duration) {
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX).max(1);
        self.round_trip.store(micros, Relaxed);
    }
}

/// The timestamp's seconds above the bits [`ACTIVE`] and [`BUSY`].
fn shifted_seconds(timestamp: Timestamp) -> u32 {
    (timestamp.seconds() as u32) << SECONDS_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_client_is_active_until_the_first_ping_after_reading_continues() {
        let activity = Activity::new(Timestamp::now());
        activity.set_busy();
        activity.clear_active();
        assert!(activity.is_active());
        activity.end_busy();
        assert!(activity.is_active());
        activity.clear_active();
        assert!(!activity.is_active());
        activity.end_busy();
        assert!(!activity.is_active(), "it wasn't busy");
    }
}
