//! Limits on the number of connections: each connection holds a slot.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerRole {
    /// All paths.
    All,
    /// `/ws` and the health checks; the admin API has a listener of its own.
    Clients,
    /// All paths but `/ws`.
    Admin,
}

impl ListenerRole {
    pub fn serves_clients(self) -> bool {
        self != ListenerRole::Admin
    }

    pub fn serves_admin(self) -> bool {
        self != ListenerRole::Clients
    }
}

/// Connections beyond `max_connections` that are still served: an upgrade gets 503, any other request its usual
/// response.
const OVERFLOW: usize = 32;

/// Maximum keep-alive connections, absolute and as a fraction of `max_connections`: they need no credentials, but
/// occupy slots.
const MAX_KEEP_ALIVE: usize = 256;
const KEEP_ALIVE_DIVISOR: usize = 4;

/// The free connection slots. Each open connection holds one of `slots` or `overflow`.
pub struct ConnectionLimits {
    slots: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    keep_alive: Arc<Semaphore>,
    max_connections: u32,
}

/// A connection's slot. Dropping it frees the slot.
pub struct Slot {
    permit: OwnedSemaphorePermit,
    /// Whether the connection may become a client: false for the overflow.
    pub may_upgrade: bool,
    /// The role of the listener that accepted the connection.
    pub role: ListenerRole,
}

impl Slot {
    /// The permit alone, which is all that a client needs.
    pub fn into_permit(self) -> OwnedSemaphorePermit {
        self.permit
    }
}

impl ConnectionLimits {
    /// Limits with all slots free. `max_connections` is capped at `u32::MAX`.
    pub fn new(max_connections: usize) -> Self {
        let max_connections = u32::try_from(max_connections).unwrap_or(u32::MAX);
        let keep_alive = MAX_KEEP_ALIVE.min(max_connections as usize / KEEP_ALIVE_DIVISOR).max(1);
        ConnectionLimits {
            slots: Arc::new(Semaphore::new(max_connections as usize)),
            overflow: Arc::new(Semaphore::new(OVERFLOW)),
            keep_alive: Arc::new(Semaphore::new(keep_alive)),
            max_connections,
        }
    }

    /// Takes a slot for a new connection; `None` if even the overflow is full.
    pub fn try_acquire(&self, role: ListenerRole) -> Option<Slot> {
        let slot = |semaphore: &Arc<Semaphore>, may_upgrade| {
            let permit = semaphore.clone().try_acquire_owned().ok()?;
            Some(Slot { permit, may_upgrade, role })
        };
        slot(&self.slots, true).or_else(|| slot(&self.overflow, false))
    }

    /// Takes a permit to keep a connection alive; `None` if none is left.
    pub fn try_keep_alive(&self) -> Option<OwnedSemaphorePermit> {
        self.keep_alive.clone().try_acquire_owned().ok()
    }

    /// Waits until no connection is open.
    pub async fn wait_empty(&self) {
        // The semaphores are never closed, so neither call fails.
        let _ = self.slots.acquire_many(self.max_connections).await;
        let _ = self.overflow.acquire_many(OVERFLOW as u32).await;
    }
}
