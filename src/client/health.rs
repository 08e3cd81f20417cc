//! Whether a client is alive and takes what it is sent. The heartbeat asks, the session answers.

use super::close_reason::CloseReason;
use super::outbox::OutboxSnapshot;
use serde::{Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// How long a client may take to answer a ping before it counts as silent. It is closed much later.
const SILENT_AFTER: Duration = Duration::from_secs(1);

/// How a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing is wrong.
    Ok,
    /// Nothing came from it for a second or more since it was pinged.
    Silent,
    /// Its socket takes no more, and messages wait for it.
    Blocked,
    /// It is being closed.
    Closing,
}

impl Health {
    /// All of them.
    pub const ALL: &'static [Health] = &[Health::Ok, Health::Silent, Health::Blocked, Health::Closing];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Silent => "silent",
            Health::Blocked => "blocked",
            Health::Closing => "closing",
        }
    }

    /// How a client is doing whose way out is in this state.
    pub(crate) fn of(outbox: &OutboxSnapshot, is_active: bool) -> Self {
        let is_late = outbox.ping_sent_at.is_some_and(|at| at.elapsed() >= SILENT_AFTER);
        match outbox.close_reason {
            Some(_) => Health::Closing,
            None if outbox.is_blocked => Health::Blocked,
            None if is_late && !is_active => Health::Silent,
            None => Health::Ok,
        }
    }

    /// How one was doing that has ended.
    pub(crate) fn at_close(reason: CloseReason, outbox: &OutboxSnapshot) -> Self {
        match reason {
            CloseReason::PongTimeout => Health::Silent,
            CloseReason::SlowConsumer => Health::Blocked,
            _ if outbox.is_blocked => Health::Blocked,
            _ => Health::Ok,
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
