//! The drain: closes all clients gradually at shutdown, and aborts those that don't close in time.

use super::lifecycle::Phase;
use super::state::ServerState;
use crate::client::CloseReason;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// A shutdown request. Once the gateway has received one, a less urgent value is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// Keep running.
    No,
    /// Close all clients gradually, within `shutdown.drain_timeout`, and stop.
    Drain,
    /// Abort all connections, and stop immediately.
    Now,
}

/// The time between two batches of close frames.
const BATCH_INTERVAL: Duration = Duration::from_millis(10);
/// Minimum close frames in a batch, so that a small number of clients is closed quickly.
const MIN_BATCH: usize = 10;
/// How long the tasks of aborted connections may take to end; they end at their next poll.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many clients disconnected during a drain, by how their connections ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Clients that completed the close handshake.
    pub closed: u64,
    /// Clients whose connection ended without a close handshake.
    pub aborted: u64,
}

/// Closes all clients, and returns when no connection is open, or `ABORT_TIMEOUT` after the rest were aborted.
pub(crate) async fn drain(server: &ServerState, mut shutdown: watch::Receiver<Shutdown>) -> DrainReport {
    let stats = &server.stats;
    let before = DrainReport { closed: stats.closed_cleanly.get(), aborted: stats.closed_uncleanly.get() };
    let deadline = Instant::now() + server.config.shutdown.drain_timeout;
    server.handler.on_drain();
    tokio::select! {
        _ = timeout_at(deadline, close_all(server)) => {}
        // If the sender was dropped, this branch is disabled: nothing can cut the drain short.
        Ok(_) = shutdown.wait_for(|requested| *requested == Shutdown::Now) => {}
    }
    server.lifecycle.set(Phase::Aborting);
    for client in server.registry.list() {
        client.outbox.abort(CloseReason::Draining);
    }
    let _ = timeout_at(Instant::now() + ABORT_TIMEOUT, server.connections.wait_empty()).await;
    DrainReport {
        closed: stats.closed_cleanly.get() - before.closed,
        aborted: stats.closed_uncleanly.get() - before.aborted,
    }
}

/// Closes all clients and waits until they are disconnected. Doesn't wait for plain HTTP connections.
async fn close_all(server: &ServerState) {
    send_close_frames(server).await;
    // Handshakes are checked first: a client whose handshake completes in between is found in the registry.
    while server.handshakes.in_progress.get() > 0 || !server.registry.is_empty() {
        sleep(BATCH_INTERVAL).await;
    }
}

/// Closes every client, in batches that are spread over at most three quarters of the drain timeout, so that the last
/// clients have time to answer.
async fn send_close_frames(server: &ServerState) {
    let clients = server.registry.list();
    let batches = server.config.shutdown.drain_timeout.as_millis() * 3 / 4 / BATCH_INTERVAL.as_millis();
    let batch_size = clients.len().div_ceil(batches.max(1) as usize).max(MIN_BATCH);
    let mut next = Instant::now();
    for batch in clients.chunks(batch_size) {
        for client in batch {
            client.close(CloseReason::Draining);
        }
        next += BATCH_INTERVAL;
        sleep_until(next).await;
    }
}
