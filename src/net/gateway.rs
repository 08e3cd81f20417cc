//! The gateway: the parts that its connections share, and the phase that it is in.

use super::admission::Admission;
use super::answer::Refusal;
use super::failures::Failures;
use super::phase::{Phase, Phases};
use crate::client::{Bounds, ClientRegistry, Handler, Presence, SenderContext, SessionContext, Stats};
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::ops::{self, Handshakes, OperatorRequests, ProcessProbe};
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

/// What a handler may need of a gateway that isn't there yet.
struct Parts {
    registry: Arc<ClientRegistry>,
    presence: Arc<Presence>,
    heartbeat: Arc<Heartbeat>,
    stats: Arc<Stats>,
}

impl Parts {
    fn new(config: &Config) -> Self {
        let stats = Arc::<Stats>::default();
        Parts {
            registry: Arc::new(ClientRegistry::new()),
            presence: Arc::new(Presence::new(config.presence.clone())),
            heartbeat: Arc::new(Heartbeat::new(&config.heartbeat, stats.clone())),
            stats,
        }
    }
}

/// A WebSocket gateway.
pub struct Gateway {
    pub(super) config: Config,
    pub(super) registry: Arc<ClientRegistry>,
    pub(super) presence: Arc<Presence>,
    pub(super) handler: Arc<dyn Handler>,
    /// For the operators' HTTP; a handler of somebody's own has none.
    pub(super) router: Option<Arc<Router>>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) sessions: Arc<SessionContext>,
    pub(super) senders: Arc<SenderContext>,
    pub(super) stats: Arc<Stats>,
    pub(super) handshakes: Arc<Handshakes>,
    pub(super) admission: Admission,
    pub(super) failures: Failures,
    pub(super) operator_requests: OperatorRequests,
    process: ProcessProbe,
    pub(super) phases: Phases,
    started: Instant,
}

impl Gateway {
    /// A gateway that answers JSON-RPC.
    pub fn new(config: Config) -> Arc<Self> {
        let parts = Parts::new(&config);
        let Parts { registry, presence, heartbeat, .. } = &parts;
        let router = Arc::new(Router::new(&config, registry.clone(), presence.clone(), heartbeat.clone()));
        Self::assemble(config, parts, router.clone(), Some(router))
    }

    /// A gateway that passes its clients' messages to a handler of your own, made with the registry that they will be
    /// in. It has no operators' HTTP.
    pub fn with_handler(config: Config, handler: impl FnOnce(Arc<ClientRegistry>) -> Arc<dyn Handler>) -> Arc<Self> {
        let parts = Parts::new(&config);
        let handler = handler(parts.registry.clone());
        Self::assemble(config, parts, handler, None)
    }

    fn assemble(config: Config, parts: Parts, handler: Arc<dyn Handler>, router: Option<Arc<Router>>) -> Arc<Self> {
        let Parts { registry, presence, heartbeat, stats } = parts;
        let sessions = SessionContext::new(handler.clone(), presence.clone(), stats.clone(), &config.limits);
        let bounds = Bounds { messages: config.limits.outbox_max_messages, bytes: config.limits.outbox_max_bytes };
        Arc::new(Gateway {
            heartbeat,
            sessions: Arc::new(sessions),
            senders: Arc::new(SenderContext { bounds, stats: stats.clone() }),
            handshakes: Arc::new(Handshakes::new(Refusal::CODES)),
            admission: Admission::new(config.limits.max_connections),
            failures: Failures::new(config.ops.max_failures_per_minute),
            operator_requests: OperatorRequests::default(),
            process: ProcessProbe::default(),
            phases: Phases::new(),
            started: Instant::now(),
            handler,
            router,
            presence,
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
            operators: &self.operator_requests,
            router: self.router.as_deref(),
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
