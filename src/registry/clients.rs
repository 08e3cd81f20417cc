//! Every client of this process, by `conn_id`.

use super::tables::IdMap;
use crate::auth::Role;
use crate::client::{ConnId, GatewayClient};
use parking_lot::RwLock;
use serde::Serialize;
use std::collections::hash_map::Entry;
use std::hint::black_box;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A power of two: a shard is chosen by bits of the ID. So many that none is locked for long while a million clients are
/// listed, or while one of them grows.
const SHARDS: usize = 256;

/// The bits of one role's count in the word of all counts.
const ROLE_BITS: u32 = 21;
const ROLE_MASK: usize = (1 << ROLE_BITS) - 1;

type Map = IdMap<Arc<GatewayClient>>;

/// Some of the clients. What comes and goes in one shard touches nothing that the others touch.
#[derive(Default)]
#[repr(align(64))]
pub struct Shard {
    clients: RwLock<Map>,
    /// How many they are, packed by role: changed under the lock, with the map, and read without it.
    counts: AtomicU64,
}

impl Shard {
    /// How many clients are in it.
    pub fn len(&self) -> usize {
        unpack(self.counts.load(Relaxed)).iter().sum()
    }

    /// Those that `fits` holds for, in no order. It is asked under the lock: it must not take long, or another lock.
    pub fn filter(&self, fits: impl Fn(&GatewayClient) -> bool) -> Vec<Arc<GatewayClient>> {
        self.clients.read().values().filter(|client| fits(client)).cloned().collect()
    }

    fn on_connect(&self, client: &Arc<GatewayClient>) {
        let mut clients = self.clients.write();
        let replaced = clients.insert(client.conn_id, client.clone());
        let less = replaced.map_or(0, |replaced| one(&replaced.auth.role));
        self.counts.store(self.counts.load(Relaxed) + one(&client.auth.role) - less, Relaxed);
    }

    /// Forgets a client, if it is this one that is registered under its ID; says whether it was.
    ///
    /// The guard's end is the only call of it.
    fn on_disconnect(&self, client: &Arc<GatewayClient>) -> bool {
        let mut clients = self.clients.write();
        match clients.entry(client.conn_id) {
            Entry::Occupied(entry) if Arc::ptr_eq(entry.get(), client) => {
                let removed = entry.remove();
                self.counts.store(self.counts.load(Relaxed) - one(&removed.auth.role), Relaxed);
                true
            }
            _ => false,
        }
    }
}

/// How many clients there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HealthSnapshot {
    /// Clients of any role.
    pub total_connections: usize,
    /// Those with role `operator`.
    pub operators: usize,
    /// Those with role `node`.
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

    /// Takes a client in until the returned guard is dropped.
    pub fn on_connect(&self, client: Arc<GatewayClient>) -> Registration {
        let shard = self.shard_of(client.conn_id);
        shard.on_connect(&client);
        Registration { shard: Some(shard.clone()), client }
    }

    /// The client with this ID.
    pub fn get(&self, conn_id: ConnId) -> Option<Arc<GatewayClient>> {
        self.shard_of(conn_id).clients.read().get(&conn_id).cloned()
    }

    /// Every client, in no order. Shard by shard: who comes or goes meanwhile may be in it or not.
    pub fn list(&self) -> Vec<Arc<GatewayClient>> {
        let mut clients = Vec::with_capacity(self.len());
        for shard in &self.shards {
            let shard = shard.clients.read();
            // Counting one more handle to a client waits for its memory. Looking at all of them first doesn't: the
            // processor fetches many at a time.
            shard.values().for_each(|client| _ = black_box(Arc::strong_count(client)));
            clients.extend(shard.values().cloned());
        }
        clients
    }

    /// The shard with this index, from 0; `None` past the last. For going through all clients piece by piece.
    pub fn shard(&self, index: usize) -> Option<&Shard> {
        self.shards.get(index).map(|shard| &**shard)
    }

    /// The counts, at the same cost with ten clients and with a million. Shard by shard: exact when nobody comes or goes
    /// meanwhile.
    pub fn health_snapshot(&self) -> HealthSnapshot {
        let mut sum = HealthSnapshot::default();
        for shard in &self.shards {
            let [operators, nodes, others] = unpack(shard.counts.load(Relaxed));
            sum.total_connections += operators + nodes + others;
            sum.operators += operators;
            sum.nodes += nodes;
        }
        sum
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.health_snapshot().total_connections
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard_of(&self, conn_id: ConnId) -> &Arc<Shard> {
        // The map takes its buckets from the low bits and its tags from the top seven: these are in between.
        &self.shards[(conn_id.bits() >> 48) as usize % SHARDS]
    }
}

/// What one client of a role adds to the packed counts.
fn one(role: &Role) -> u64 {
    match role {
        Role::Operator => 1,
        Role::Node => 1 << ROLE_BITS,
        Role::Other(_) => 1 << (2 * ROLE_BITS),
    }
}

/// Operators, nodes and others.
fn unpack(counts: u64) -> [usize; 3] {
    [0, 1, 2].map(|index| (counts >> (index * ROLE_BITS)) as usize & ROLE_MASK)
}

/// A client's place in the registry; dropping it is the client's `on_disconnect`.
#[must_use = "dropping it forgets the client"]
pub struct Registration {
    /// `None` once the client is forgotten.
    shard: Option<Arc<Shard>>,
    client: Arc<GatewayClient>,
}

impl Registration {
    /// Forgets the client now.
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

#[cfg(test)]
mod tests;
