//! Whether the gateway works: its accept loops turn, its registry isn't locked for long, and its timer wheel runs.

use super::state::ServerState;
use crate::labels::labels;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
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

/// A question that is answered by dropping it.
type Probe = oneshot::Sender<()>;

/// The accept loops that answer probes.
#[derive(Default)]
pub struct AcceptProbes(Mutex<Vec<mpsc::Sender<Probe>>>);

/// One accept loop's end.
pub struct ProbeReceiver(mpsc::Receiver<Probe>);

impl AcceptProbes {
    /// Adds an accept loop.
    pub fn add(&self) -> ProbeReceiver {
        let (sender, receiver) = mpsc::channel(1);
        self.0.lock().push(sender);
        ProbeReceiver(receiver)
    }
}

impl ProbeReceiver {
    /// Answers a probe, if there is one.
    pub fn try_answer(&mut self) {
        drop(self.0.try_recv());
    }

    /// Waits for a probe, and answers it.
    pub async fn answer(&mut self) {
        match self.0.recv().await {
            Some(probe) => drop(probe),
            None => unreachable!("the server's state has the sender"),
        }
    }
}

/// Checks that all parts respond within `limit`.
///
/// # Errors
/// The first part that doesn't.
pub async fn check_liveness(server: &Arc<ServerState>, limit: Duration) -> Result<(), Unresponsive> {
    let deadline = Instant::now() + limit;
    let accept_loops = server.accept_probes.0.lock().clone();
    for accept_loop in accept_loops {
        let probe = async {
            let (probe, answered) = oneshot::channel();
            // An error means that the loop has ended, as at a shutdown.
            if accept_loop.send(probe).await.is_ok() {
                let _ = answered.await;
            }
        };
        timeout_at(deadline.into(), probe).await.map_err(|_| Unresponsive::AcceptLoop)?;
    }
    let (probe, answered) = oneshot::channel();
    let _timer = server.heartbeat.schedule(Duration::ZERO, move || drop::<Probe>(probe));
    timeout_at(deadline.into(), answered).await.map_err(|_| Unresponsive::TimerWheel)?.ok();
    let registry = server.registry.clone();
    let is_lockable = tokio::task::spawn_blocking(move || registry.is_lockable_until(deadline));
    match timeout_at(deadline.into(), is_lockable).await {
        Ok(Ok(true)) => Ok(()),
        _ => Err(Unresponsive::Registry),
    }
}
