//! A gateway's run, from the first accept to the end of the drain.

use super::accept::accept_all;
use super::door::Door;
use super::drain::{Drained, drain};
use super::gateway::{Gateway, Shutdown};
use super::listener::Listener;
use super::phase::Phase;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

impl Gateway {
    /// Serves the listeners until told to end, and then drains: every client is asked to leave with close code 1012,
    /// paced over `shutdown.drain_timeout`, and cut if it doesn't.
    ///
    /// Binds nothing, and handles no signal. A gateway runs once. If this future is dropped, nobody new is let in, and
    /// the clients end with their tasks' runtime.
    pub async fn run(self: Arc<Self>, listeners: Vec<Listener>, mut shutdown: watch::Receiver<Shutdown>) -> Drained {
        self.phases.enter(Phase::Running);
        let heartbeat = self.heartbeat.clone();
        let mut background = JoinSet::new();
        background.spawn(async move { heartbeat.run().await });
        let mut acceptors = JoinSet::new();
        let has_operators = listeners.iter().any(|listener| listener.door == Door::Operators);
        for mut listener in listeners {
            if has_operators && listener.door == Door::Both {
                listener.door = Door::Clients;
            }
            acceptors.spawn(accept_all(self.clone(), listener));
        }
        // Whoever told it has gone: nobody can tell it to end any more, so it does.
        let _ = shutdown.wait_for(|told| *told > Shutdown::No).await;
        self.phases.enter(Phase::Draining);
        acceptors.shutdown().await;
        drain(&self, shutdown).await
    }
}
