//! The accept loop of one listener. It survives every error, and backs off instead of spinning.

use super::admission::{ListenerRole, Slot};
use super::connection::Connection;
use super::lifecycle::Phase;
use super::listener::Listener;
use super::state::ServerState;
use crate::budget;
use crate::client::RemoteAddr;
use crate::http::error::HttpError;
use crate::ws::Stream;
use log::warn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Units of the budget that an accept takes in addition to tokio's one, so that a flood of connections doesn't delay
/// clients: with the task of the connection it takes about 20 µs.
const UNITS_PER_ACCEPT: usize = 15;

const MIN_BACKOFF: Duration = Duration::from_millis(10);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// The minimum time between two log lines of the same warning.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Accepts connections and spawns a task for each, until the gateway drains. Answers probes of its liveness.
pub async fn accept_loop(server: Arc<ServerState>, listener: Listener) {
    let mut probes = server.accept_probes.add();
    let (mut backoff, mut limit_warning) = (AcceptBackoff::default(), LogThrottle::default());
    let mut stopped = pin!(server.lifecycle.wait_past(Phase::Running));
    // The select polls the others only if no connection waits, which saves instructions in a storm.
    while server.is_ready() {
        probes.try_answer();
        let (stream, peer) = tokio::select! {
            biased;
            accepted = next_connection(&server, &listener, &mut backoff) => accepted,
            () = probes.answer() => continue,
            () = &mut stopped => return,
        };
        budget::charge_units(UNITS_PER_ACCEPT);
        server.handshakes.accepted.add(1);
        // Not in the branches above: a connection that was accepted is served or refused, also when the drain begins.
        match acquire_slot(&server, listener.role, peer, &mut limit_warning).await {
            Ok(slot) => drop(tokio::spawn(Connection::new(server.clone(), stream, peer, slot))),
            Err(error) => server.refuse(&stream, peer, &error),
        }
    }
}

/// Waits for the next connection, through all errors.
async fn next_connection(
    server: &ServerState,
    listener: &Listener,
    backoff: &mut AcceptBackoff,
) -> (Stream, RemoteAddr) {
    loop {
        if listener.role.serves_clients() {
            server.accept_pace.wait().await;
        }
        match listener.accept().await {
            Ok(accepted) => {
                backoff.reset();
                return accepted;
            }
            // The peer disconnected before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => backoff.sleep(&error).await,
        }
    }
}

/// Takes a slot for a new connection, and counts it for its address.
///
/// # Errors
/// 429 if the peer exceeds a limit of its address, 503 if even the overflow is full.
async fn acquire_slot(
    server: &ServerState,
    role: ListenerRole,
    peer: RemoteAddr,
    warning: &mut LogThrottle,
) -> Result<Slot, HttpError> {
    let addresses = if role == ListenerRole::Admin { &server.admin_addresses } else { &server.addresses };
    let address = match addresses.connect(peer) {
        Ok(address) => address,
        Err(exceeded) => {
            let in_band = server.config.load().handshake.refuse_in_band;
            let slot = in_band.then(|| server.connections.try_acquire_to_refuse(role, exceeded)).flatten();
            return slot.ok_or_else(|| HttpError::address_limit(exceeded));
        }
    };
    let slot = take_slot(server, role).await;
    if !slot.as_ref().is_some_and(Slot::may_upgrade) && warning.should_log() {
        if role == ListenerRole::Admin {
            warn!("all connections at ops.listen are being answered, refusing more");
        } else {
            let limit = server.config.load().limits.max_connections;
            warn!("connection limit reached, refusing clients max_connections={limit}");
        }
    }
    let slot = slot.ok_or_else(HttpError::full)?;
    slot.set_address(address);
    Ok(slot)
}

/// Takes a slot. If none is free, drops a connection that waits for its peer. At a listener for clients its slot is
/// taken if it becomes free at once, and else when the new connection becomes a client; until then that has a slot of
/// the overflow.
async fn take_slot(server: &ServerState, role: ListenerRole) -> Option<Slot> {
    let is_dropped = server.connections.is_full(role) && server.drop_pending(role);
    if role == ListenerRole::Admin {
        return server.connections.acquire_admin().await;
    }
    if is_dropped {
        tokio::task::yield_now().await;
    }
    server.connections.try_acquire(role)
}

/// Limits how often a warning is logged.
#[derive(Default)]
struct LogThrottle {
    last: Option<Instant>,
}

impl LogThrottle {
    /// Returns whether to log the warning now: true at most once in [`WARN_INTERVAL`].
    fn should_log(&mut self) -> bool {
        let due = self.last.is_none_or(|at| at.elapsed() >= WARN_INTERVAL);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

/// Exponential backoff after accept errors, most likely `EMFILE`: no descriptor is free.
#[derive(Default)]
struct AcceptBackoff {
    /// The last delay; `None` after a success.
    delay: Option<Duration>,
    warning: LogThrottle,
}

impl AcceptBackoff {
    /// Logs the error, and sleeps; each further error doubles the delay, up to [`MAX_BACKOFF`].
    async fn sleep(&mut self, error: &io::Error) {
        if self.warning.should_log() {
            warn!("accept failed, retrying error=\"{error}\"");
        }
        let delay = self.delay.map_or(MIN_BACKOFF, |last| (last * 2).min(MAX_BACKOFF));
        self.delay = Some(delay);
        tokio::time::sleep(delay).await;
    }

    /// Resets the next delay to [`MIN_BACKOFF`].
    fn reset(&mut self) {
        self.delay = None;
    }
}
