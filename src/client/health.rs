//! A client's health: whether it answers pings and reads what it is sent.

use super::close_reason::CloseReason;
use super::outbox::OutboxSnapshot;
use crate::labels::labels;
use std::time::Duration;

/// How long after a ping a client counts as silent if it has sent nothing.
const SILENT_AFTER: Duration = Duration::from_secs(1);

labels! {
    /// A client's health.
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
    /// The health of a connected client, from its outbox and
    /// [`GatewayClient::is_active`](super::GatewayClient::is_active).
    pub(crate) fn of(outbox: &OutboxSnapshot, is_active: bool) -> Self {
        let is_late = outbox.ping_sent_at.is_some_and(|at| at.elapsed() >= SILENT_AFTER);
        match outbox.close_reason {
            Some(_) => Health::Closing,
            None if outbox.is_blocked => Health::Blocked,
            None if is_late && !is_active => Health::Silent,
            None => Health::Ok,
        }
    }

    /// The health to record for a closed client, from its close reason and from its outbox at the end of the session.
    pub(crate) fn at_close(reason: CloseReason, outbox: &OutboxSnapshot) -> Self {
        match reason {
            CloseReason::PongTimeout => Health::Silent,
            CloseReason::SlowConsumer => Health::Blocked,
            _ if outbox.is_blocked => Health::Blocked,
            _ => Health::Ok,
        }
    }
}
