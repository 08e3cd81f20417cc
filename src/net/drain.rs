//! The end of a gateway: its clients are asked to leave, not all at once.

use super::gateway::{Gateway, Shutdown};
use super::phase::Phase;
use crate::client::CloseReason;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Between two groups of close frames.
const STEP: Duration = Duration::from_millis(10);
/// Close frames in a step at least: few clients are not kept waiting.
const LEAST_PER_STEP: usize = 10;
/// How long tasks that were cut may take to end; they have nothing left to wait for.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// How the clients ended that were there when the drain began, or came while it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// They answered the close frame.
    pub closed: u64,
    /// They did not, and were dropped.
    pub cut: u64,
}

/// Closes all clients, and returns when no connection is left.
pub(super) async fn drain(gateway: &Gateway, mut shutdown: watch::Receiver<Shutdown>) -> Drained {
    let stats = &gateway.stats;
    let before = Drained { closed: stats.closed_cleanly.get(), cut: stats.cut.get() };
    let deadline = Instant::now() + gateway.config.shutdown.drain_timeout;
    gateway.handler.on_drain();
    let gentle = async {
        close_paced(gateway).await;
        // Plain connections don't count: they go with the last client. Handshakes first: what ends one meanwhile is in the
        // registry when that is looked at.
        while gateway.handshakes.in_progress.get() > 0 || !gateway.registry.is_empty() {
            sleep(STEP).await;
        }
    };
    tokio::select! {
        _ = timeout_at(deadline, gentle) => {}
        // Without anybody to tell it to hurry, it takes its time.
        Ok(_) = shutdown.wait_for(|told| *told == Shutdown::Now) => {}
    }
    gateway.phases.enter(Phase::Cut);
    for client in gateway.registry.list() {
        client.sender.cut(CloseReason::Draining);
    }
    let _ = timeout_at(Instant::now() + CUT_TIMEOUT, gateway.admission.all_gone()).await;
    Drained { closed: stats.closed_cleanly.get() - before.closed, cut: stats.cut.get() - before.cut }
}

/// Asks every client to leave, over three quarters of the drain's time or less: the last ones need some to answer.
async fn close_paced(gateway: &Gateway) {
    let clients = gateway.registry.list();
    let steps = gateway.config.shutdown.drain_timeout.as_millis() * 3 / 4 / STEP.as_millis();
    let per_step = clients.len().div_ceil(steps.max(1) as usize).max(LEAST_PER_STEP);
    let mut next = Instant::now();
    for group in clients.chunks(per_step) {
        for client in group {
            client.close(CloseReason::Draining);
        }
        next += STEP;
        sleep_until(next).await;
    }
}
