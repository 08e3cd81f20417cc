//! The shared state of a gateway, and how it is built.

use super::accept_pace::AcceptPace;
use super::accept_probes::AcceptProbes;
use super::address_limits::AddressLimits;
use super::admin::stats::AdminStats;
use super::admission::{ConnectionLimits, ListenerRole, Slot};
use super::available_memory::available_memory;
use super::handshake_stats::{HandshakeStage, HandshakeStats};
use super::lifecycle::{Lifecycle, Phase};
use super::pending::PendingConnections;
use super::process::ProcessProbe;
use super::refusal_log::RefusalLog;
use super::status::{self, StatusSources};
use crate::client::{Handler, OutboxContext, RemoteAddr, SessionStats};
use crate::config::{Config, LiveConfig};
use crate::heartbeat::{Heartbeat, TimerGuard};
use crate::http::auth_limiter::AuthLimiter;
use crate::http::error::{HandshakeFailure, HttpError};
use crate::memory::MemoryAccount;
use crate::registry::{ClientRegistry, Presence};
use crate::rpc::router::Router;
use crate::session::SessionContext;
use crate::ws::Stream;
use log::debug;
use parking_lot::Mutex;
use std::sync::{Arc, Once};
use std::time::Instant;

/// The components that are built before the handler, which depends on them.
struct Components {
    config: Arc<LiveConfig>,
    registry: Arc<ClientRegistry>,
    presence: Arc<Presence>,
    heartbeat: Arc<Heartbeat>,
    stats: Arc<SessionStats>,
}

impl Components {
    fn new(config: Config) -> Self {
        let (config, stats) = (LiveConfig::new(config), Arc::<SessionStats>::default());
        Components {
            registry: Arc::new(ClientRegistry::new()),
            presence: Arc::new(Presence::new(config.clone())),
            heartbeat: Arc::new(Heartbeat::new(config.clone(), stats.clone())),
            stats,
            config,
        }
    }
}

/// The shared state of a gateway's connections.
pub struct ServerState {
    pub config: Arc<LiveConfig>,
    pub registry: Arc<ClientRegistry>,
    pub presence: Arc<Presence>,
    pub handler: Arc<dyn Handler>,
    /// Serves the admin API; `None` with an embedder's handler.
    pub router: Option<Arc<Router>>,
    pub heartbeat: Arc<Heartbeat>,
    pub session_context: Arc<SessionContext>,
    pub outbox_context: Arc<OutboxContext>,
    pub memory: Arc<MemoryAccount>,
    pub stats: Arc<SessionStats>,
    pub handshakes: Arc<HandshakeStats>,
    pub connections: Arc<ConnectionLimits>,
    /// Of the connections in the slots for clients: those before their first request.
    pub pending: Arc<PendingConnections>,
    /// Of the connections in the slots for clients: those that had their last response, and that the peer has yet to
    /// close.
    pub closing: Arc<PendingConnections>,
    /// Of the connections at the listeners of `ops.listen`: all that aren't being answered.
    pub pending_admin: Arc<PendingConnections>,
    pub accept_pace: AcceptPace,
    pub accept_probes: AcceptProbes,
    pub auth_limiter: AuthLimiter,
    /// The limits of each address at the listeners for clients; those at `ops.listen` count apart from these.
    pub addresses: Arc<AddressLimits>,
    pub admin_addresses: Arc<AddressLimits>,
    /// Log that a proxy isn't trusted, each at most once.
    pub forwarding_warning: Once,
    pub proxy_warning: Once,
    pub refusals: Arc<RefusalLog>,
    /// Of its own, so that handshakes, which need no credential, can't hide guesses of credentials.
    pub admin_refusals: Arc<RefusalLog>,
    pub admin: AdminStats,
    process: ProcessProbe,
    pub lifecycle: Lifecycle,
    /// Close the clients of credentials that expire soon after a reload.
    pub expiries: Mutex<Vec<TimerGuard>>,
    /// Held during a reload, so that two of them don't mix.
    pub reloading: tokio::sync::Mutex<()>,
    started_at: Instant,
}

impl ServerState {
    /// The state of a gateway that answers JSON-RPC.
    pub fn with_router(config: Config) -> Arc<Self> {
        let components = Components::new(config);
        let Components { config, registry, presence, heartbeat, .. } = &components;
        let router = Arc::new(Router::new(config.clone(), registry.clone(), presence.clone(), heartbeat.clone()));
        Self::build(components, router.clone(), Some(router))
    }

    /// The state of a gateway with an embedder's handler.
    pub fn with_handler(config: Config, handler: impl FnOnce(Arc<ClientRegistry>) -> Arc<dyn Handler>) -> Arc<Self> {
        let components = Components::new(config);
        let handler = handler(components.registry.clone());
        Self::build(components, handler, None)
    }

    fn build(components: Components, handler: Arc<dyn Handler>, router: Option<Arc<Router>>) -> Arc<Self> {
        let Components { config, registry, presence, heartbeat, stats } = components;
        let settings = config.load();
        let limits = &settings.limits;
        let session_context = SessionContext::new(handler.clone(), presence.clone(), stats.clone(), limits);
        let max_bytes = limits.outbox_max_bytes.into();
        let memory = Arc::new(MemoryAccount::new(limits.max_memory_for_clients.of(available_memory())));
        Arc::new(ServerState {
            refusals: RefusalLog::new(heartbeat.clone()),
            admin_refusals: RefusalLog::new(heartbeat.clone()),
            heartbeat,
            session_context: Arc::new(session_context),
            outbox_context: Arc::new(OutboxContext { max_bytes, stats: stats.clone(), memory: memory.clone() }),
            memory,
            handshakes: Arc::new(HandshakeStats::default()),
            connections: Arc::new(ConnectionLimits::new(limits.max_connections)),
            accept_pace: AcceptPace::new(config.clone()),
            accept_probes: AcceptProbes::default(),
            pending: PendingConnections::new(settings.max_in_progress()),
            // The slots limit these.
            closing: PendingConnections::new(usize::MAX),
            pending_admin: PendingConnections::new(usize::MAX),
            auth_limiter: AuthLimiter::new(config.clone()),
            addresses: AddressLimits::new(config.clone()),
            admin_addresses: AddressLimits::new(config.clone()),
            forwarding_warning: Once::new(),
            proxy_warning: Once::new(),
            admin: AdminStats::default(),
            process: ProcessProbe::default(),
            lifecycle: Lifecycle::new(),
            expiries: Mutex::default(),
            reloading: tokio::sync::Mutex::default(),
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
            config: &self.config.load(),
            registry: &self.registry,
            stats: &self.stats,
            memory: &self.memory,
            handshakes: &self.handshakes,
            heartbeat: &self.heartbeat,
            admin: &self.admin,
            router: self.router.as_deref(),
            process: &self.process,
            uptime: self.started_at.elapsed(),
            draining: self.lifecycle.phase() > Phase::Running,
        })
    }

    /// The pending connections among which one with this slot counts, before its first request or while it
    /// `is_closing`; `None` in the overflow.
    pub fn pending_of(&self, slot: &Slot, is_closing: bool) -> Option<&Arc<PendingConnections>> {
        match slot.role {
            ListenerRole::Admin => Some(&self.pending_admin),
            _ if !slot.may_upgrade() => None,
            _ if is_closing => Some(&self.closing),
            _ => Some(&self.pending),
        }
    }

    /// Drops a pending connection to make room at a listener with this role. Returns whether there was one.
    pub fn drop_pending(&self, role: ListenerRole) -> bool {
        match role {
            ListenerRole::Admin => self.pending_admin.drop_oldest(),
            ListenerRole::All | ListenerRole::Clients => self.closing.drop_oldest() || self.pending.drop_oldest(),
        }
    }

    /// Answers without reading a request. The connection is closed next.
    pub fn refuse(&self, stream: &Stream, remote_addr: RemoteAddr, error: &HttpError) {
        self.record_failure(remote_addr, error.handshake_failure());
        stream.write_best_effort(error.to_http_text().as_bytes());
    }

    /// Counts and logs a refused connection or an invalid request.
    pub fn record_failure(&self, remote_addr: RemoteAddr, cause: HandshakeFailure) {
        if matches!(cause, HandshakeFailure::Disconnected | HandshakeFailure::Draining) {
            debug!("handshake failed remote_addr={remote_addr} cause={cause}");
        } else {
            self.refusals.log(cause.label(), format_args!("handshake refused remote_addr={remote_addr} cause={cause}"));
        }
        self.handshakes.failed.add(cause);
    }

    /// Counts and logs a timeout, unless the gateway is aborting its connections.
    pub fn record_timeout(&self, remote_addr: RemoteAddr, stage: HandshakeStage) {
        if self.lifecycle.phase() == Phase::Aborting {
            return;
        }
        self.handshakes.timed_out.add(stage);
        self.refusals.log(stage.label(), format_args!("handshake timed out remote_addr={remote_addr} stage={stage}"));
    }

    /// Whether the gateway accepts clients: true until it shuts down.
    pub fn is_ready(&self) -> bool {
        self.lifecycle.phase() == Phase::Running
    }
}
