//! The drain: closes all clients gradually at shutdown, and aborts those that don't close in time.

use super::lifecycle::Phase;
use super::state::ServerState;
use crate::client::{CloseReason, GatewayClient};
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
/// Clients are told to reconnect at this rate, beginning this time after the last of them is closed.
const RECONNECTS_PER_SECOND: u32 = 1000;
const RESTART_TIME: Duration = Duration::from_secs(1);
/// Over this time if it would take longer at that rate.
const MAX_RECONNECT_SPAN: Duration = Duration::from_secs(60);
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
    let deadline = Instant::now() + server.config.load().shutdown.drain_timeout;
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
    let batches = server.config.load().shutdown.drain_timeout.as_millis() * 3 / 4 / BATCH_INTERVAL.as_millis();
    let batch_size = clients.len().div_ceil(batches.max(1) as usize).max(MIN_BATCH);
    let mut next = Instant::now();
    let last = next + BATCH_INTERVAL * clients.len().div_ceil(batch_size) as u32;
    for (index, client) in clients.iter().enumerate() {
        close_client(server, client, last - next + RESTART_TIME + reconnect_place(index, clients.len()));
        if (index + 1) % batch_size == 0 {
            next += BATCH_INTERVAL;
            sleep_until(next).await;
        }
    }
}

/// Closes a client whose handshake was completed during the drain.
pub fn close_late_client(server: &ServerState, client: &GatewayClient) {
    close_client(server, client, RESTART_TIME);
}

/// Closes a client; one of the JSON-RPC methods is first told when to reconnect.
fn close_client(server: &ServerState, client: &GatewayClient, reconnect_after: Duration) {
    if server.router.is_some() {
        // A client whose outbox is full isn't told.
        let _ = client.try_send(draining_notification(reconnect_after));
    }
    client.close(CloseReason::Draining);
}

/// A client's place in the time over which `count` clients reconnect. The registry's order is random.
fn reconnect_place(index: usize, count: usize) -> Duration {
    let span = (Duration::from_secs(1) * count as u32 / RECONNECTS_PER_SECOND).min(MAX_RECONNECT_SPAN);
    span.mul_f64(index as f64 / count as f64)
}

fn draining_notification(reconnect_after: Duration) -> String {
    let millis = reconnect_after.as_millis();
    format!(r#"{{"jsonrpc":"2.0","method":"gateway.draining","params":{{"reconnect_after_ms":{millis}}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_place_in_the_time_over_which_all_reconnect() {
        let seconds = |index, count| reconnect_place(index, count).as_secs_f64();
        assert_eq!((seconds(0, 5000), seconds(1000, 5000), seconds(4000, 5000)), (0.0, 1.0, 4.0));
        assert_eq!((seconds(0, 1), seconds(500_000, 1_000_000)), (0.0, 30.0));
    }
}
