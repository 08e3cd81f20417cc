//! The gateway: its parts, its phases, and its run from the first accept to the end of the drain.

use super::accept::{Admission, accept_all};
use super::answer::Refusal;
use super::drain::{Drained, drain};
use super::listener::Listener;
use crate::client::{Bounds, ClientRegistry, Handler, SessionContext, Stats};
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::ops::{self, Handshakes};
use crate::rpc::Router;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinSet;

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

/// How far in its life a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Starting,
    Running,
    /// Nobody new; those there are asked to leave.
    Draining,
    /// Whoever is still there is dropped.
    Cut,
}

/// A WebSocket gateway.
pub struct Gateway {
    pub(super) config: Config,
    pub(super) registry: Arc<ClientRegistry>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) sessions: Arc<SessionContext>,
    pub(super) bounds: Bounds,
    pub(super) stats: Arc<Stats>,
    pub(super) handshakes: Arc<Handshakes>,
    pub(super) admission: Admission,
    phase: watch::Sender<Phase>,
    started: Instant,
}

impl Gateway {
    /// A gateway that answers JSON-RPC.
    pub fn new(config: Config) -> Arc<Self> {
        let max_batch_requests = config.limits.max_batch_requests;
        Self::with_handler(config, |registry| Arc::new(Router::new(registry, max_batch_requests)))
    }

    /// A gateway that passes its clients' messages to a handler of your own, made with the registry that they will be
    /// in.
    pub fn with_handler(config: Config, handler: impl FnOnce(Arc<ClientRegistry>) -> Arc<dyn Handler>) -> Arc<Self> {
        let registry = Arc::new(ClientRegistry::new());
        let stats = Arc::<Stats>::default();
        let sessions = SessionContext::new(handler(registry.clone()), stats.clone(), &config.limits);
        Arc::new(Gateway {
            heartbeat: Arc::new(Heartbeat::new(&config.heartbeat, stats.clone())),
            sessions: Arc::new(sessions),
            bounds: Bounds { messages: config.limits.outbox_max_messages, bytes: config.limits.outbox_max_bytes },
            handshakes: Arc::new(Handshakes::new(Refusal::CODES)),
            admission: Admission::new(config.limits.max_connections),
            phase: watch::Sender::new(Phase::Starting),
            started: Instant::now(),
            registry,
            stats,
            config,
        })
    }

    /// Who is connected.
    pub fn registry(&self) -> &Arc<ClientRegistry> {
        &self.registry
    }

    /// The JSON of `/status`.
    pub fn status(&self) -> String {
        ops::report(&ops::Sources {
            config: &self.config,
            registry: &self.registry,
            stats: &self.stats,
            handshakes: &self.handshakes,
            heartbeat: &self.heartbeat,
            uptime: self.started.elapsed(),
            draining: self.phase() > Phase::Running,
        })
    }

    /// Serves the listeners until told to end, and then drains: every client is asked to leave with close code 1012,
    /// paced over `shutdown.drain_timeout`, and cut if it doesn't.
    ///
    /// Binds nothing, and handles no signal. A gateway runs once. If this future is dropped, nobody new is let in, and
    /// the clients end with their tasks' runtime.
    pub async fn run(self: Arc<Self>, listeners: Vec<Listener>, mut shutdown: watch::Receiver<Shutdown>) -> Drained {
        self.enter(Phase::Running);
        let heartbeat = self.heartbeat.clone();
        let mut background = JoinSet::new();
        background.spawn(async move { heartbeat.run().await });
        let mut acceptors = JoinSet::new();
        for listener in listeners {
            acceptors.spawn(accept_all(self.clone(), listener));
        }
        // Whoever told it has gone: nobody can tell it to end any more, so it does.
        let _ = shutdown.wait_for(|told| *told > Shutdown::No).await;
        self.enter(Phase::Draining);
        acceptors.shutdown().await;
        drain(&self, shutdown).await
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether new clients are let in.
    pub(super) fn is_ready(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// Waits until a later phase than this one has begun.
    pub(super) async fn left_phase(&self, phase: Phase) {
        // The sender lives as long as this gateway.
        let _ = self.phase.subscribe().wait_for(|now| *now > phase).await;
    }
}
