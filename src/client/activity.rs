//! What a client has sent: messages, bytes, the time of the last message and the last round trip.

use crate::clock::Timestamp;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The bit that says that something was received since the last ping was asked for.
const ACTIVE: u32 = 1;

/// What came from a client. Its session alone writes it, but for the bit that the heartbeat takes away.
#[derive(Debug)]
pub(crate) struct Activity {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// The second of the last message, or of the connection, twice; and [`ACTIVE`].
    activity: AtomicU32,
    /// The last measured round trip in microseconds; 0: none yet.
    round_trip: AtomicU32,
}

impl Activity {
    pub(crate) fn new(connected_at: Timestamp) -> Self {
        Activity {
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            activity: AtomicU32::new(activity_at(connected_at)),
            round_trip: AtomicU32::new(0),
        }
    }

    /// Messages and bytes so far.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.messages.load(Relaxed), self.bytes.load(Relaxed))
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.store(self.bytes.load(Relaxed) + bytes, Relaxed);
    }

    pub(crate) fn add_message(&self) {
        self.messages.store(self.messages.load(Relaxed) + 1, Relaxed);
        let activity = activity_at(Timestamp::now()) | ACTIVE;
        if self.activity.load(Relaxed) != activity {
            self.activity.store(activity, Relaxed);
        }
    }

    /// Since the last message, in whole seconds.
    pub(crate) fn idle(&self) -> Duration {
        let last = self.activity.load(Relaxed) / 2;
        Duration::from_secs(Timestamp::now().seconds().saturating_sub(last.into()))
    }

    pub(crate) fn is_active(&self) -> bool {
        self.activity.load(Relaxed) & ACTIVE != 0
    }

    pub(crate) fn mark_active(&self) {
        if !self.is_active() {
            self.activity.fetch_or(ACTIVE, Relaxed);
        }
    }

    pub(crate) fn clear_active(&self) {
        self.activity.fetch_and(!ACTIVE, Relaxed);
    }

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

fn activity_at(timestamp: Timestamp) -> u32 {
    // 68 years of seconds.
    (timestamp.seconds() as u32) << 1
}
