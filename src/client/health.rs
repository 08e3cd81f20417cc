//! Whether a client is alive and takes what it is sent. The heartbeat asks, the session answers.

use super::close::CloseReason;
use super::sender::SenderState;
use crate::clock::Moment;
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long a client may take to answer a ping before it counts as silent. It is closed much later.
const PROMPT: Duration = Duration::from_secs(1);

/// How a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing is wrong.
    Good,
    /// Nothing came from it for a second or more since it was pinged.
    Silent,
    /// Its socket takes no more, and messages wait for it.
    Blocked,
    /// It is being closed.
    Closing,
}

impl Health {
    /// All of them.
    pub const ALL: &'static [Health] = &[Health::Good, Health::Silent, Health::Blocked, Health::Closing];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Health::Good => "ok",
            Health::Silent => "silent",
            Health::Blocked => "blocked",
            Health::Closing => "closing",
        }
    }

    /// How a client is doing whose way out is in this state.
    pub(super) fn of(sender: &SenderState, is_heard: bool) -> Self {
        let is_late = sender.ping_sent_at.is_some_and(|at| at.elapsed() >= PROMPT);
        match sender.close_reason {
            Some(_) => Health::Closing,
            None if sender.is_blocked => Health::Blocked,
            None if is_late && !is_heard => Health::Silent,
            None => Health::Good,
        }
    }

    /// How one was doing that has ended.
    pub(super) fn at_the_end(reason: CloseReason, sender: &SenderState) -> Self {
        match reason {
            CloseReason::PongTimeout => Health::Silent,
            CloseReason::SlowConsumer => Health::Blocked,
            _ if sender.is_blocked => Health::Blocked,
            _ => Health::Good,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// The bit that says that something was received since the last ping was asked for.
const HEARD: u32 = 1;

/// What came from a client. Its session alone writes it, but for the bit that the heartbeat takes away.
#[derive(Debug)]
pub(super) struct Received {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// The second of the last message, or of the connection, twice; and [`HEARD`].
    activity: AtomicU32,
    /// The last measured round trip in microseconds; 0: none yet.
    round_trip: AtomicU32,
}

impl Received {
    pub(super) fn new(connected_at: Moment) -> Self {
        Received {
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            activity: AtomicU32::new(activity_at(connected_at)),
            round_trip: AtomicU32::new(0),
        }
    }

    /// Messages and bytes so far.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.messages.load(Relaxed), self.bytes.load(Relaxed))
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.store(self.bytes.load(Relaxed) + bytes, Relaxed);
    }

    pub(super) fn add_message(&self) {
        self.messages.store(self.messages.load(Relaxed) + 1, Relaxed);
        let activity = activity_at(Moment::now()) | HEARD;
        if self.activity.load(Relaxed) != activity {
            self.activity.store(activity, Relaxed);
        }
    }

    /// Since the last message, in whole seconds.
    pub(super) fn idle(&self) -> Duration {
        let last = self.activity.load(Relaxed) / 2;
        Duration::from_secs(Moment::now().seconds().saturating_sub(last.into()))
    }

    pub(super) fn is_heard(&self) -> bool {
        self.activity.load(Relaxed) & HEARD != 0
    }

    pub(super) fn heard(&self) {
        if !self.is_heard() {
            self.activity.fetch_or(HEARD, Relaxed);
        }
    }

    pub(super) fn unheard(&self) {
        self.activity.fetch_and(!HEARD, Relaxed);
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        match self.round_trip.load(Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros.into())),
        }
    }

    pub(super) fn measured(&self, round_trip: Duration) {
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX).max(1);
        self.round_trip.store(micros, Relaxed);
    }
}

fn activity_at(moment: Moment) -> u32 {
    // 68 years of seconds.
    (moment.seconds() as u32) << 1
}
