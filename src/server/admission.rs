//! How many connections there may be.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is served to the connections of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerRole {
    /// All there is.
    All,
    /// Clients; operators have a listener of their own.
    Clients,
    /// Operators.
    Admin,
}

impl ListenerRole {
    pub(crate) fn serves_clients(self) -> bool {
        self != ListenerRole::Admin
    }

    pub(crate) fn serves_admin(self) -> bool {
        self != ListenerRole::Clients
    }
}

/// Connections beyond `max_connections` that are still answered: with 503 to an upgrade, and as ever to a scraper.
const OVERFLOW: usize = 32;

/// Plain connections that are kept open for their next request, at most, and as a part of all places: nobody needs a
/// credential for one, and each takes a client's slot.
const MAX_KEEP_ALIVE: usize = 256;
const KEEP_ALIVE_DIVISOR: usize = 4;

/// The places for connections. Those taken are the connections that there are.
pub struct ConnectionLimits {
    places: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    kept_alive: Arc<Semaphore>,
    max_connections: u32,
}

/// A connection's slot, given back when dropped.
pub(crate) struct Slot {
    permit: OwnedSemaphorePermit,
    /// Whether the connection may become a client.
    pub(crate) may_upgrade: bool,
    /// What is served to it.
    pub(crate) role: ListenerRole,
}

impl Slot {
    /// The slot of a connection that is a client's from here on.
    pub(crate) fn into_permit(self) -> OwnedSemaphorePermit {
        self.permit
    }
}

impl ConnectionLimits {
    pub(crate) fn new(max_connections: usize) -> Self {
        let max_connections = u32::try_from(max_connections).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(max_connections as usize));
        let kept_alive = MAX_KEEP_ALIVE.min(max_connections as usize / KEEP_ALIVE_DIVISOR).max(1);
        ConnectionLimits {
            places,
            overflow: Arc::new(Semaphore::new(OVERFLOW)),
            kept_alive: Arc::new(Semaphore::new(kept_alive)),
            max_connections,
        }
    }

    /// A slot for a new connection, if there is one left.
    pub(crate) fn try_acquire(&self, role: ListenerRole) -> Option<Slot> {
        let slot = |semaphore: &Arc<Semaphore>, may_upgrade| {
            let permit = semaphore.clone().try_acquire_owned().ok()?;
            Some(Slot { permit, may_upgrade, role })
        };
        slot(&self.places, true).or_else(|| slot(&self.overflow, false))
    }

    /// A slot among the plain connections that are kept open, if there is one left.
    pub(crate) fn try_keep_alive(&self) -> Option<OwnedSemaphorePermit> {
        self.kept_alive.clone().try_acquire_owned().ok()
    }

    /// Waits until every slot is free again: no connection is left.
    pub(crate) async fn wait_empty(&self) {
        // The semaphores are never closed, so neither wait fails.
        let _ = self.places.acquire_many(self.max_connections).await;
        let _ = self.overflow.acquire_many(OVERFLOW as u32).await;
    }
}
