//! Limits on the number of connections: each connection holds a slot.

use super::address_limits::AddressGuard;
use crate::http::error::HandshakeFailure;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

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

/// Connections at the listeners of `ops.listen`, which thus accept an operator while all other slots are taken. With the
/// overflow these are within the descriptors that `max_connections` leaves free.
const ADMIN: usize = 32;

/// How long a new connection waits for one of these slots, while no other connection is accepted there.
const ADMIN_TIMEOUT: Duration = Duration::from_millis(100);

/// Maximum keep-alive connections, absolute and as a fraction of `max_connections`: they need no credentials, but
/// occupy slots.
const MAX_KEEP_ALIVE: usize = 256;
const KEEP_ALIVE_DIVISOR: usize = 4;

/// The free connection slots. Each open connection holds one of `slots`, `overflow` or `admin`.
pub struct ConnectionLimits {
    slots: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    admin: Arc<Semaphore>,
    keep_alive: Arc<Semaphore>,
    capacity: Mutex<Capacity>,
}

/// The number of `slots`.
struct Capacity {
    /// How many there are, free or not.
    existing: usize,
    /// How many there should be: fewer after `max_connections` was lowered, until connections return their slots.
    wanted: usize,
}

/// A connection's slot. Dropping it frees the slot.
pub struct Slot {
    permit: Mutex<ConnectionPermit>,
    /// Whether the connection may become a client: false for the overflow.
    may_upgrade: AtomicBool,
    /// The limit of its address that the connection exceeds: an upgrade is refused for it.
    pub exceeded_limit: Option<HandshakeFailure>,
    /// The role of the listener that accepted the connection.
    pub role: ListenerRole,
}

/// What a connection holds until it ends, also after it has become a client.
pub struct ConnectionPermit {
    slot: OwnedSemaphorePermit,
    /// Counts it among the connections of its address; `None` if that has no limit.
    address: Option<AddressGuard>,
}

impl Slot {
    fn take(semaphore: &Arc<Semaphore>, role: ListenerRole, may_upgrade: bool) -> Option<Self> {
        semaphore.clone().try_acquire_owned().ok().map(|permit| Slot::new(permit, role, may_upgrade))
    }

    fn new(slot: OwnedSemaphorePermit, role: ListenerRole, may_upgrade: bool) -> Self {
        let permit = Mutex::new(ConnectionPermit { slot, address: None });
        Slot { permit, may_upgrade: AtomicBool::new(may_upgrade), exceeded_limit: None, role }
    }

    /// The permit alone, which is all that a client needs.
    pub fn into_permit(self) -> ConnectionPermit {
        self.permit.into_inner()
    }

    /// Counts the connection among those of the address that `guard` is for.
    pub fn set_address(&self, guard: Option<AddressGuard>) {
        self.permit.lock().address = guard;
    }

    /// Whether the connection may become a client.
    pub fn may_upgrade(&self) -> bool {
        self.may_upgrade.load(Relaxed)
    }
}

impl ConnectionLimits {
    /// Limits with all slots free. `max_connections` is capped at `u32::MAX`.
    pub fn new(max_connections: usize) -> Self {
        let slots = max_connections.min(u32::MAX as usize);
        ConnectionLimits {
            slots: Arc::new(Semaphore::new(slots)),
            overflow: Arc::new(Semaphore::new(OVERFLOW)),
            admin: Arc::new(Semaphore::new(ADMIN)),
            keep_alive: Arc::new(Semaphore::new(MAX_KEEP_ALIVE)),
            capacity: Mutex::new(Capacity { existing: slots, wanted: slots }),
        }
    }

    /// Allows another number of connections, capped at `u32::MAX`. If more are open, none is closed: their slots are
    /// removed as they end. Must be called in a tokio runtime.
    pub fn set_max_connections(self: &Arc<Self>, max_connections: usize) {
        let mut capacity = self.capacity.lock();
        capacity.wanted = max_connections.min(u32::MAX as usize);
        if capacity.wanted >= capacity.existing {
            self.slots.add_permits(capacity.wanted - capacity.existing);
            capacity.existing = capacity.wanted;
            return;
        }
        let surplus = capacity.existing - capacity.wanted;
        capacity.existing -= self.slots.forget_permits(surplus);
        if capacity.existing > capacity.wanted {
            let limits = self.clone();
            tokio::spawn(async move { while limits.remove_slot().await {} });
        }
    }

    /// Waits for a free slot, and removes it if there are more than wanted. Returns whether there still are.
    async fn remove_slot(&self) -> bool {
        let Ok(slot) = self.slots.acquire().await else { return false };
        let mut capacity = self.capacity.lock();
        if capacity.existing > capacity.wanted {
            slot.forget();
            capacity.existing -= 1;
        }
        capacity.existing > capacity.wanted
    }

    /// Takes a slot for a new connection at a listener for clients; `None` if even the overflow is full.
    pub fn try_acquire(&self, role: ListenerRole) -> Option<Slot> {
        Slot::take(&self.slots, role, true).or_else(|| Slot::take(&self.overflow, role, false))
    }

    /// Takes a slot for a new connection at a listener of `ops.listen`, waiting for one if necessary.
    pub async fn acquire_admin(&self) -> Option<Slot> {
        let permit = timeout(ADMIN_TIMEOUT, self.admin.clone().acquire_owned()).await.ok()?;
        permit.ok().map(|permit| Slot::new(permit, ListenerRole::Admin, true))
    }

    /// Takes a slot of the overflow for a connection whose upgrade will be refused, if one is free.
    pub fn try_acquire_to_refuse(&self, role: ListenerRole, exceeded: HandshakeFailure) -> Option<Slot> {
        let slot = Slot::take(&self.overflow, role, false)?;
        Some(Slot { exceeded_limit: Some(exceeded), ..slot })
    }

    /// Whether no slot is free at a listener with this role, other than those of the overflow.
    pub fn is_full(&self, role: ListenerRole) -> bool {
        let slots = if role == ListenerRole::Admin { &self.admin } else { &self.slots };
        slots.available_permits() == 0
    }

    /// Lets a connection of the overflow become a client if a slot has become free. Returns whether it may.
    pub fn try_promote(&self, slot: &Slot) -> bool {
        if slot.may_upgrade() {
            return true;
        }
        let Ok(permit) = self.slots.clone().try_acquire_owned() else { return false };
        slot.permit.lock().slot = permit;
        slot.may_upgrade.store(true, Relaxed);
        true
    }

    /// Takes a permit to keep a connection alive; `None` if none is left.
    pub fn try_keep_alive(&self) -> Option<OwnedSemaphorePermit> {
        let max = (self.capacity.lock().wanted / KEEP_ALIVE_DIVISOR).max(1);
        let in_use = MAX_KEEP_ALIVE - self.keep_alive.available_permits();
        // Two threads that see the same number may exceed a fraction by one, but not the absolute maximum.
        if in_use >= max {
            return None;
        }
        self.keep_alive.clone().try_acquire_owned().ok()
    }

    /// Waits until no connection is open.
    pub async fn wait_empty(&self) {
        let slots = {
            let mut capacity = self.capacity.lock();
            // No more slots are removed.
            capacity.wanted = capacity.existing;
            capacity.existing as u32
        };
        // The semaphores are never closed, so neither call fails.
        let _ = self.slots.acquire_many(slots).await;
        let _ = self.overflow.acquire_many(OVERFLOW as u32).await;
        let _ = self.admin.acquire_many(ADMIN as u32).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keep_alive_connections_are_a_quarter_of_all_and_follow_their_number() {
        let limits = Arc::new(ConnectionLimits::new(8));
        let mut kept = Vec::new();
        for (max_connections, expected) in [(8, 2), (12, 3), (4, 3), (1, 3), (10_000, MAX_KEEP_ALIVE)] {
            limits.set_max_connections(max_connections);
            kept.extend(std::iter::from_fn(|| limits.try_keep_alive()));
            assert_eq!(kept.len(), expected, "of {max_connections}");
        }
        kept.clear();
        limits.set_max_connections(1);
        assert!(limits.try_keep_alive().is_some(), "at least one");
    }

    #[tokio::test]
    async fn slots_are_added_at_once_and_removed_as_connections_end() {
        let limits = Arc::new(ConnectionLimits::new(2));
        let acquire = || limits.try_acquire(ListenerRole::All).filter(Slot::may_upgrade);
        let mut slots: Vec<_> = (0..2).map(|_| acquire().unwrap()).collect();
        assert!(acquire().is_none());
        limits.set_max_connections(3);
        slots.push(acquire().unwrap());
        assert!(acquire().is_none());
        limits.set_max_connections(1);
        for remaining in (0..3).rev() {
            slots.pop();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            let slot = acquire();
            assert_eq!(slot.is_some(), remaining == 0, "{remaining} connections are open");
        }
        limits.set_max_connections(0);
        limits.set_max_connections(2);
        tokio::task::yield_now().await;
        slots.extend((0..2).map(|_| acquire().unwrap()));
        assert!(acquire().is_none());
        drop(slots);
        limits.wait_empty().await;
    }
}
