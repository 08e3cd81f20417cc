//! The clients by `conn_id`, in shards that are locked separately, with their counts.

use super::prefetch;
use super::tables::IdMap;
use crate::auth::Role;
use crate::client::{ConnId, GatewayClient};
use parking_lot::RwLock;
use serde::Serialize;
use std::collections::hash_map::Entry;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// A power of two, so that `%` is a mask. With 256, no shard is locked for long while a million clients are listed or a
/// shard's map grows.
const SHARDS: usize = 256;

/// The counts of connected clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HealthSnapshot {
    /// Clients of any role.
    pub total_connections: usize,
    /// Clients with role `operator`.
    pub operators: usize,
    /// Clients with role `node`.
    pub nodes: usize,
}

/// The sharded map of all clients.
pub struct ClientRegistry {
    shards: [Arc<Shard>; SHARDS],
}

impl Default for ClientRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        ClientRegistry { shards: std::array::from_fn(|_| Arc::default()) }
    }

    /// Adds a client, until the returned guard is dropped.
    pub fn on_connect(&self, client: Arc<GatewayClient>) -> Registration {
        let shard = self.shard_of(client.conn_id);
        shard.on_connect(&client);
        Registration { shard: Some(shard.clone()), client }
    }

    /// The client with this ID, if it is connected.
    pub fn get(&self, conn_id: ConnId) -> Option<Arc<GatewayClient>> {
        self.shard_of(conn_id).clients.read().get(&conn_id).cloned()
    }

    /// Locks a shard while `run` runs.
    #[cfg(feature = "test-hangs")]
    pub(crate) fn hold_lock(&self, run: impl FnOnce()) {
        let _clients = self.shards[0].clients.write();
        run();
    }

    /// Whether each shard can be locked, one after the other, before `deadline`. Blocks until then.
    pub(crate) fn is_lockable_until(&self, deadline: Instant) -> bool {
        self.shards.iter().all(|shard| shard.clients.try_read_until(deadline).is_some())
    }

    /// All clients, in no particular order. The shards are read one after the other: a client that connects or
    /// disconnects meanwhile may be included or not.
    pub fn list(&self) -> Vec<Arc<GatewayClient>> {
        let mut clients = Vec::with_capacity(self.len());
        for shard in &self.shards {
            let shard = shard.clients.read();
            prefetch(shard.values().map(Arc::strong_count));
            clients.extend(shard.values().cloned());
        }
        clients
    }

    /// The shard with this index, from 0; `None` past the last. Lets a caller visit all clients in batches.
    pub fn shard(&self, index: usize) -> Option<&Shard> {
        self.shards.get(index).map(|shard| &**shard)
    }

    /// The counts of clients, at a cost that doesn't depend on them. The shards are read one after the other: the
    /// counts are exact unless clients connect or disconnect meanwhile.
    pub fn health_snapshot(&self) -> HealthSnapshot {
        let mut sum = HealthSnapshot::default();
        for shard in &self.shards {
            let (operators, nodes) = (shard.counts.operators.load(Relaxed), shard.counts.nodes.load(Relaxed));
            sum.total_connections += operators + nodes + shard.counts.others.load(Relaxed);
            sum.operators += operators;
            sum.nodes += nodes;
        }
        sum
    }

    /// The number of clients of any role, as in [`health_snapshot`](Self::health_snapshot).
    pub fn len(&self) -> usize {
        self.health_snapshot().total_connections
    }

    /// Whether no client is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard_of(&self, conn_id: ConnId) -> &Arc<Shard> {
        // The hash map of a shard uses the low bits and the top seven; bits 48 to 55 are independent of both.
        &self.shards[(conn_id.bits() >> 48) as usize % SHARDS]
    }
}

/// A client's entry in the registry. Dropping it removes the client.
#[must_use = "dropping it removes the client"]
pub struct Registration {
    /// `None` once the client is removed.
    shard: Option<Arc<Shard>>,
    client: Arc<GatewayClient>,
}

impl Registration {
    /// Removes the client now. Further calls do nothing.
    pub fn end(&mut self) {
        if let Some(shard) = self.shard.take() {
            shard.on_disconnect(&self.client);
        }
    }
}

impl Deref for Registration {
    type Target = Arc<GatewayClient>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end();
    }
}

/// A part of the clients. Shards share no cache line, so that a change in one never slows down the others.
#[derive(Default)]
#[repr(align(64))]
pub struct Shard {
    clients: RwLock<IdMap<Arc<GatewayClient>>>,
    counts: RoleCounts,
}

/// The counts of a shard's clients by role. Changed only under the shard's write lock, for clients that the map has
/// inserted or removed; read without the lock.
#[derive(Default)]
struct RoleCounts {
    operators: AtomicUsize,
    nodes: AtomicUsize,
    others: AtomicUsize,
}

impl RoleCounts {
    fn of(&self, role: &Role) -> &AtomicUsize {
        match role {
            Role::Operator => &self.operators,
            Role::Node => &self.nodes,
            Role::Other(_) => &self.others,
        }
    }
}

impl Shard {
    /// The number of clients in this shard.
    pub fn len(&self) -> usize {
        let RoleCounts { operators, nodes, others } = &self.counts;
        operators.load(Relaxed) + nodes.load(Relaxed) + others.load(Relaxed)
    }

    /// The clients for which `matches` returns true, in no particular order. `matches` runs under the shard's lock: it
    /// must be fast and take no lock.
    pub fn filter(&self, matches: impl Fn(&GatewayClient) -> bool) -> Vec<Arc<GatewayClient>> {
        self.clients.read().values().filter(|client| matches(client)).cloned().collect()
    }

    fn on_connect(&self, client: &Arc<GatewayClient>) {
        let mut clients = self.clients.write();
        let replaced = clients.insert(client.conn_id, client.clone());
        self.counts.of(&client.auth.role).fetch_add(1, Relaxed);
        if let Some(replaced) = replaced {
            self.counts.of(&replaced.auth.role).fetch_sub(1, Relaxed);
        }
    }

    /// Removes a client and returns whether it was registered. A different client under the same ID stays.
    ///
    /// Called by [`Registration::end`] only.
    fn on_disconnect(&self, client: &Arc<GatewayClient>) -> bool {
        let mut clients = self.clients.write();
        match clients.entry(client.conn_id) {
            Entry::Occupied(entry) if Arc::ptr_eq(entry.get(), client) => {
                let removed = entry.remove();
                self.counts.of(&removed.auth.role).fetch_sub(1, Relaxed);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
