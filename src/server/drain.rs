//! The end of a gateway: its clients are asked to leave, not all at once.

use super::lifecycle::Phase;
use super::state::ServerState;
use crate::client::CloseReason;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// What a running gateway is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// Go on.
    No,
    /// Close every client, paced, and end.
    Drain,
    /// End at once.
    Now,
}

/// Between two groups of close frames.
const BATCH_INTERVAL: Duration = Duration::from_millis(10);
/// Close frames in a step at least: few clients are not kept waiting.
const MIN_BATCH: usize = 10;
/// How long tasks that were cut may take to end; they have nothing left to wait for.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How the clients ended that were there when the drain began, or came while it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// They answered the close frame.
    pub closed: u64,
    /// They did not, and were dropped.
    pub aborted: u64,
}

/// Closes all clients, and returns when no connection is left.
pub(crate) async fn drain(gateway: &ServerState, mut shutdown: watch::Receiver<Shutdown>) -> DrainReport {
    let stats = &gateway.stats;
    let before = DrainReport { closed: stats.closed_cleanly.get(), aborted: stats.closed_uncleanly.get() };
    let deadline = Instant::now() + gateway.config.shutdown.drain_timeout;
    gateway.handler.on_drain();
    let graceful = async {
        close_paced(gateway).await;
        // Plain connections don't count: they go with the last client. HandshakeStats first: what ends one meanwhile is in the
        // registry when that is looked at.
        while gateway.handshakes.in_progress.get() > 0 || !gateway.registry.is_empty() {
            sleep(BATCH_INTERVAL).await;
        }
    };
    tokio::select! {
        _ = timeout_at(deadline, graceful) => {}
        // Without anybody to tell it to hurry, it takes its time.
        Ok(_) = shutdown.wait_for(|told| *told == Shutdown::Now) => {}
    }
    gateway.lifecycle.set(Phase::Aborting);
    for client in gateway.registry.list() {
        client.outbox.abort(CloseReason::Draining);
    }
    let _ = timeout_at(Instant::now() + ABORT_TIMEOUT, gateway.connections.wait_empty()).await;
    DrainReport {
        closed: stats.closed_cleanly.get() - before.closed,
        aborted: stats.closed_uncleanly.get() - before.aborted,
    }
}

/// Asks every client to leave, over three quarters of the drain's time or less: the last ones need some to answer.
async fn close_paced(gateway: &ServerState) {
    let clients = gateway.registry.list();
    let steps = gateway.config.shutdown.drain_timeout.as_millis() * 3 / 4 / BATCH_INTERVAL.as_millis();
    let per_step = clients.len().div_ceil(steps.max(1) as usize).max(MIN_BATCH);
    let mut next = Instant::now();
    for group in clients.chunks(per_step) {
        for client in group {
            client.close(CloseReason::Draining);
        }
        next += BATCH_INTERVAL;
        sleep_until(next).await;
    }
}
