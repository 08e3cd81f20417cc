//! Whether the gateway works: its accept loops turn, its registry isn't locked for long, and its timer wheel runs.

use super::state::ServerState;
use crate::labels::labels;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

labels! {
    /// A part of the gateway that didn't respond in time.
    pub enum Unresponsive {
        /// An accept loop.
        AcceptLoop = "accept_loop",
        /// A shard of the registry stayed locked.
        Registry = "registry",
        /// The task of the timer wheel.
        TimerWheel = "timer_wheel",
    }
}

/// Checks that all parts respond within `limit`.
///
/// # Errors
/// The first part that doesn't.
pub async fn check_liveness(server: &Arc<ServerState>, limit: Duration) -> Result<(), Unresponsive> {
    let deadline = Instant::now() + limit;
    timeout_at(deadline.into(), server.accept_probes.probe()).await.map_err(|_| Unresponsive::AcceptLoop)?;
    let (probe, answered) = oneshot::channel::<()>();
    let _timer = server.heartbeat.schedule(Duration::ZERO, move || drop(probe));
    timeout_at(deadline.into(), answered).await.map_err(|_| Unresponsive::TimerWheel)?.ok();
    let registry = server.registry.clone();
    let is_lockable = tokio::task::spawn_blocking(move || registry.is_lockable_until(deadline));
    match timeout_at(deadline.into(), is_lockable).await {
        Ok(Ok(true)) => Ok(()),
        _ => Err(Unresponsive::Registry),
    }
}
