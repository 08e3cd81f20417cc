//! The shared state of a gateway, and how it is built.

use super::admin::stats::AdminStats;
use super::admission::ConnectionLimits;
use super::handshake_stats::HandshakeStats;
use super::lifecycle::{Lifecycle, Phase};
use super::process::ProcessProbe;
use super::refusal_log::RefusalLog;
use super::status::{self, StatusSources};
use crate::client::{Handler, OutboxContext, SessionStats};
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::http::auth_limiter::AuthLimiter;
use crate::registry::{ClientRegistry, Presence};
use crate::rpc::router::Router;
use crate::session::SessionContext;
use std::sync::Arc;
use std::time::Instant;

/// The components that are built before the handler, which depends on them.
struct Components {
    registry: Arc<ClientRegistry>,
    presence: Arc<Presence>,
    heartbeat: Arc<Heartbeat>,
    stats: Arc<SessionStats>,
}

impl Components {
    fn new(config: &Config) -> Self {
        let stats = Arc::<SessionStats>::default();
        Components {
            registry: Arc::new(ClientRegistry::new()),
            presence: Arc::new(Presence::new(config.presence.clone())),
            heartbeat: Arc::new(Heartbeat::new(&config.heartbeat, stats.clone())),
            stats,
        }
    }
}

/// The shared state of a gateway's connections.
pub struct ServerState {
    pub config: Config,
    pub registry: Arc<ClientRegistry>,
    pub presence: Arc<Presence>,
    pub handler: Arc<dyn Handler>,
    /// Serves the admin API; `None` with an embedder's handler.
    pub router: Option<Arc<Router>>,
    pub heartbeat: Arc<Heartbeat>,
    pub session_context: Arc<SessionContext>,
    pub outbox_context: Arc<OutboxContext>,
    pub stats: Arc<SessionStats>,
    pub handshakes: Arc<HandshakeStats>,
    pub connections: ConnectionLimits,
    pub auth_limiter: AuthLimiter,
    pub refusals: Arc<RefusalLog>,
    /// Of its own, so that handshakes, which need no credential, can't hide guesses of credentials.
    pub admin_refusals: Arc<RefusalLog>,
    pub admin: AdminStats,
    process: ProcessProbe,
    pub lifecycle: Lifecycle,
    started_at: Instant,
}

impl ServerState {
    /// The state of a gateway that answers JSON-RPC.
    pub fn with_router(config: Config) -> Arc<Self> {
        let components = Components::new(&config);
        let Components { registry, presence, heartbeat, .. } = &components;
        let router = Arc::new(Router::new(&config, registry.clone(), presence.clone(), heartbeat.clone()));
        Self::build(config, components, router.clone(), Some(router))
    }

    /// The state of a gateway with an embedder's handler.
    pub fn with_handler(config: Config, handler: impl FnOnce(Arc<ClientRegistry>) -> Arc<dyn Handler>) -> Arc<Self> {
        let components = Components::new(&config);
        let handler = handler(components.registry.clone());
        Self::build(config, components, handler, None)
    }

    fn build(
        config: Config,
        components: Components,
        handler: Arc<dyn Handler>,
        router: Option<Arc<Router>>,
    ) -> Arc<Self> {
        let Components { registry, presence, heartbeat, stats } = components;
        let session_context = SessionContext::new(handler.clone(), presence.clone(), stats.clone(), &config.limits);
        let max_bytes = config.limits.outbox_max_bytes;
        Arc::new(ServerState {
            refusals: RefusalLog::new(heartbeat.clone()),
            admin_refusals: RefusalLog::new(heartbeat.clone()),
            heartbeat,
            session_context: Arc::new(session_context),
            outbox_context: Arc::new(OutboxContext { max_bytes, stats: stats.clone() }),
            handshakes: Arc::new(HandshakeStats::default()),
            connections: ConnectionLimits::new(config.limits.max_connections),
            auth_limiter: AuthLimiter::new(config.ops.max_failures_per_minute),
            admin: AdminStats::default(),
            process: ProcessProbe::default(),
            lifecycle: Lifecycle::new(),
            started_at: Instant::now(),
            handler,
            router,
            presence,
            registry,
            stats,
            config,
        })
    }

    /// The JSON of `/status`.
    pub fn status(&self) -> String {
        status::render(&StatusSources {
            config: &self.config,
            registry: &self.registry,
            stats: &self.stats,
            handshakes: &self.handshakes,
            heartbeat: &self.heartbeat,
            admin: &self.admin,
            router: self.router.as_deref(),
            process: &self.process,
            uptime: self.started_at.elapsed(),
            draining: self.lifecycle.phase() > Phase::Running,
        })
    }

    /// Whether the gateway accepts clients: true until it shuts down.
    pub fn is_ready(&self) -> bool {
        self.lifecycle.phase() == Phase::Running
    }
}
