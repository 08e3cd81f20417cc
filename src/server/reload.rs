//! Reload: a new configuration takes effect while clients stay connected.

use super::available_memory::available_memory;
use super::state::ServerState;
use crate::auth::Credential;
use crate::budget;
use crate::client::CloseReason;
use crate::config::settings::{Changes, apply_live_changes};
use crate::config::{Config, ConfigError};
use crate::heartbeat::TimerGuard;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

/// The system clock may be a little slower than the one that timers run by.
const EXPIRY_MARGIN: Duration = Duration::from_millis(10);

/// What a reload has done.
#[derive(Debug)]
pub struct Reload {
    /// The settings that have changed, such as `limits.max_connections`: those that are in effect now.
    pub applied: Vec<String>,
    /// The changed settings that need a restart.
    pub needs_restart: Vec<String>,
    /// The clients closed with [`CloseReason::CredentialRevoked`].
    pub revoked: usize,
}

/// Replaces the configuration. Clients stay, except those whose credential is gone.
///
/// # Errors
/// Other machines could connect without credentials, at an address in use. Nothing has changed then.
pub async fn reload(server: &ServerState, new: Config) -> Result<Reload, ConfigError> {
    let _guard = server.reloading.lock().await;
    let Changes { live, needs_restart } = replace_config(server, new)?;
    Ok(Reload { applied: live, needs_restart, revoked: review_clients(server).await })
}

fn replace_config(server: &ServerState, mut new: Config) -> Result<Changes, ConfigError> {
    let old = server.config.load();
    let changes = apply_live_changes(&old, &mut new);
    // Checked for the addresses in use: those of the new file may be others.
    if let Some(problem) = new.exposure_error() {
        return Err(ConfigError::new("after a reload", problem));
    }
    // From here on, the clients of each credential have its new scopes, or will be closed.
    new.auth.take_over(&old.auth);
    let limits = &new.limits;
    server.outbox_context.max_bytes.store(limits.outbox_max_bytes, Relaxed);
    server.session_context.set_limits(limits);
    server.memory.set_limit(limits.max_memory_for_clients.of(available_memory()));
    server.connections.set_max_connections(limits.max_connections);
    server.pending.set_max(new.max_in_progress());
    if let Some(router) = &server.router {
        router.reload(&new);
    }
    *server.expiries.lock() = expiries(server, &new);
    server.config.replace(new);
    Ok(changes)
}

/// Timers that close the clients of credentials that expire before the heartbeat, which visits each client once in an
/// interval, is certain to have noticed a new `not_after`.
fn expiries(server: &ServerState, config: &Config) -> Vec<TimerGuard> {
    let expiry = |credential: &Credential| {
        let left = credential.info.not_after()?.duration_since(SystemTime::now()).ok()?;
        let (presence, key) = (Arc::downgrade(&server.presence), credential.info.presence_key.clone());
        (left <= config.heartbeat.interval).then(|| {
            server.heartbeat.schedule(left + EXPIRY_MARGIN, move || {
                let clients = presence.upgrade().map(|presence| presence.clients_of(&key)).unwrap_or_default();
                for client in clients.iter().filter(|client| client.auth.is_expired()) {
                    client.close(CloseReason::CredentialRevoked);
                }
            })
        })
    };
    config.auth.credentials().iter().filter_map(expiry).collect()
}

/// Closes the clients whose credential is gone or has expired, and ends the subscriptions of the others that their scopes
/// no longer allow. A client that is registered later is checked by itself. Returns the number of closed clients.
async fn review_clients(server: &ServerState) -> usize {
    let mut closed = 0;
    for shard in (0..).map_while(|index| server.registry.shard(index)) {
        let clients = shard.filter(|_| true);
        budget::charge(clients.len());
        for client in clients {
            if client.auth.is_revoked() || client.auth.is_expired() {
                let reason = client.close(CloseReason::CredentialRevoked);
                closed += usize::from(reason == CloseReason::CredentialRevoked);
            } else if let Some(router) = &server.router {
                router.end_forbidden_subscriptions(&client);
            }
            budget::yield_if_spent().await;
        }
    }
    closed
}
