//! The gateway: the parts that its connections share, and the phase that it is in.

use super::admission::Admission;
use super::answer::Refusal;
use super::phase::{Phase, Phases};
use crate::client::{Bounds, ClientRegistry, Handler, SenderContext, SessionContext, Stats};
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::ops::{self, Handshakes, ProcessProbe};
use crate::rpc::Router;
use std::sync::Arc;
use std::time::Instant;

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

/// A WebSocket gateway.
pub struct Gateway {
    pub(super) config: Config,
    pub(super) registry: Arc<ClientRegistry>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) sessions: Arc<SessionContext>,
    pub(super) senders: Arc<SenderContext>,
    pub(super) stats: Arc<Stats>,
    pub(super) handshakes: Arc<Handshakes>,
    pub(super) admission: Admission,
    process: ProcessProbe,
    pub(super) phases: Phases,
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
        let bounds = Bounds { messages: config.limits.outbox_max_messages, bytes: config.limits.outbox_max_bytes };
        Arc::new(Gateway {
            heartbeat: Arc::new(Heartbeat::new(&config.heartbeat, stats.clone())),
            sessions: Arc::new(sessions),
            senders: Arc::new(SenderContext { bounds, stats: stats.clone() }),
            handshakes: Arc::new(Handshakes::new(Refusal::CODES)),
            admission: Admission::new(config.limits.max_connections),
            process: ProcessProbe::default(),
            phases: Phases::new(),
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
            process: &self.process,
            uptime: self.started.elapsed(),
            draining: self.phases.now() > Phase::Running,
        })
    }

    /// Whether new clients are let in.
    pub(super) fn is_ready(&self) -> bool {
        self.phases.now() == Phase::Running
    }
}
