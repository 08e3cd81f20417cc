//! Probes of the accept loops: whether they turn.

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// A probe, which is answered by dropping it.
type Probe = oneshot::Sender<()>;

/// The accept loops that answer probes.
#[derive(Default)]
pub struct AcceptProbes(Mutex<Vec<mpsc::Sender<Probe>>>);

/// Receives the probes of one accept loop.
pub struct ProbeReceiver(mpsc::Receiver<Probe>);

impl AcceptProbes {
    /// Adds an accept loop.
    pub fn add(&self) -> ProbeReceiver {
        let (sender, receiver) = mpsc::channel(1);
        self.0.lock().push(sender);
        ProbeReceiver(receiver)
    }

    /// Waits until each accept loop that hasn't ended has answered a probe.
    pub async fn probe(&self) {
        let accept_loops = self.0.lock().clone();
        for accept_loop in accept_loops {
            let (probe, answered) = oneshot::channel();
            if accept_loop.send(probe).await.is_ok() {
                let _ = answered.await;
            }
        }
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
