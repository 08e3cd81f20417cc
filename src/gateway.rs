//! The public handle of a gateway.

use crate::client::Handler;
use crate::config::{Config, ConfigError};
use crate::registry::ClientRegistry;
use crate::runtime::build_runtime;
use crate::server::accept::accept_loop;
use crate::server::admission::ListenerRole;
use crate::server::drain::{DrainReport, Shutdown, drain};
use crate::server::lifecycle::Phase;
use crate::server::listener::Listener;
use crate::server::liveness::{Unresponsive, check_liveness};
use crate::server::memory_guard;
use crate::server::process::descriptor_limit;
use crate::server::reload::{Reload, reload};
use crate::server::state::ServerState;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A WebSocket gateway. Cloning it gives another handle to the same gateway.
#[derive(Clone)]
pub struct Gateway {
    state: Arc<ServerState>,
}

impl Gateway {
    /// A gateway that answers JSON-RPC 2.0.
    pub fn new(config: Config) -> Self {
        Gateway { state: ServerState::with_router(config) }
    }

    /// A gateway that passes messages to the [`Handler`] that `handler` builds from the client registry. It serves
    /// `/status` and the health checks, but no admin API.
    pub fn with_handler(config: Config, handler: impl FnOnce(Arc<ClientRegistry>) -> Arc<dyn Handler>) -> Self {
        Gateway { state: ServerState::with_handler(config, handler) }
    }

    /// Builds a runtime with the daemon's settings, and one worker thread for each core that the process may use. A
    /// gateway runs in any multi-threaded runtime; this one is tuned for fairness among busy clients.
    ///
    /// # Errors
    /// If the operating system can't create a thread or a descriptor.
    pub fn build_runtime() -> io::Result<Runtime> {
        build_runtime()
    }

    /// The number of descriptors that this process may have open (soft `RLIMIT_NOFILE`); 1024 if it can't be read.
    /// [`Config::new`] takes it to derive `limits.max_connections`.
    pub fn descriptor_limit() -> usize {
        descriptor_limit()
    }

    /// The connected clients.
    pub fn registry(&self) -> &Arc<ClientRegistry> {
        &self.state.registry
    }

    /// Replaces the configuration while clients stay connected. Settings of which a change needs a restart keep their
    /// values; the report names them. Clients whose credential is gone are closed with
    /// [`CloseReason::CredentialRevoked`](crate::CloseReason::CredentialRevoked), those of all others have its new scopes
    /// with their next message, and lose the subscriptions that these no longer allow. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// Other machines could connect without credentials, at an address that is in use. Nothing has changed then.
    pub async fn reload(&self, config: Config) -> Result<Reload, ConfigError> {
        reload(&self.state, config).await
    }

    /// Checks that the gateway works: its accept loops turn, its registry isn't locked for long, and its timer wheel
    /// runs. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The part that didn't respond within `limit`.
    pub async fn check_liveness(&self, limit: Duration) -> Result<(), Unresponsive> {
        check_liveness(&self.state, limit).await
    }

    /// Makes a part hang, for a test of the watchdog.
    #[cfg(feature = "test-hangs")]
    pub(crate) fn hang(&self) {
        crate::server::hang::hang(&self.state);
    }

    /// The JSON of `/status`.
    pub fn status(&self) -> String {
        self.state.status()
    }

    /// Serves the listeners until `shutdown` requests a shutdown or its sender is dropped, and then drains: every
    /// client gets a close frame with code 1012, spread over at most three quarters of `shutdown.drain_timeout`;
    /// clients that don't answer it in time are aborted.
    ///
    /// Call this once for each gateway. Dropping the future stops accepting connections and sending pings; connected
    /// clients stay until the runtime shuts down.
    pub async fn run(self, listeners: Vec<Listener>, mut shutdown: watch::Receiver<Shutdown>) -> DrainReport {
        let state = self.state;
        let heartbeat = state.heartbeat.clone();
        let mut background = JoinSet::new();
        background.spawn(async move { heartbeat.run().await });
        let guard = memory_guard::run(state.memory.clone(), state.registry.clone());
        background.spawn(async move { match guard.await {} });
        let mut accept_loops = JoinSet::new();
        let has_admin = listeners.iter().any(|listener| listener.role == ListenerRole::Admin);
        for mut listener in listeners {
            if has_admin && listener.role == ListenerRole::All {
                listener.role = ListenerRole::Clients;
            }
            accept_loops.spawn(accept_loop(state.clone(), listener));
        }
        // An error means that the sender was dropped: no shutdown can be requested any more, so drain now.
        let _ = shutdown.wait_for(|requested| *requested > Shutdown::No).await;
        state.lifecycle.set(Phase::Draining);
        // Each ends after it has handed over the connection that it has accepted last.
        while accept_loops.join_next().await.is_some() {}
        drain(&state, shutdown).await
    }
}
