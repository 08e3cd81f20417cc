//! Whether a client is alive and takes what it is sent. The heartbeat asks, the session answers.

use super::close_reason::CloseReason;
use super::outbox::OutboxSnapshot;
use crate::labels::labels;
use std::time::Duration;

/// How long a client may take to answer a ping before it counts as silent. It is closed much later.
const SILENT_AFTER: Duration = Duration::from_secs(1);

labels! {
    /// How a client is doing.
    pub enum Health {
        /// Nothing is wrong.
        Ok = "ok",
        /// Nothing was received within a second after a ping was sent.
        Silent = "silent",
        /// Messages are queued, and the socket accepts no more.
        Blocked = "blocked",
        /// The client is being closed.
        Closing = "closing",
    }
}

impl Health {
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
