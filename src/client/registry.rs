//! Every client of this process, by `conn_id`.

use super::{ConnId, GatewayClient};
use crate::auth::Role;
use crate::config::MAX_CONNECTIONS;
use crate::counters::Peak;
use parking_lot::RwLock;
use serde::Serialize;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A power of two: a shard is chosen by bits of the ID. So many that none is locked for long while a million clients are
/// listed, or while one of them grows.
const SHARDS: usize = 256;

/// The bits of one role's count in the word of all counts.
const ROLE_BITS: u32 = 21;
const ROLE_MASK: usize = (1 << ROLE_BITS) - 1;
const _: () = assert!(MAX_CONNECTIONS <= ROLE_MASK, "a count would run into the next");

/// A random ID is its own hash.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("an ID hashes as one u64")
    }
    fn write_u64(&mut self, bits: u64) {
        self.0 = bits;
    }
}

impl Hash for ConnId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.bits());
    }
}

type Map = HashMap<ConnId, Arc<GatewayClient>, BuildHasherDefault<IdHasher>>;

/// A cache line of its own, so that neighbours' locks don't contend.
#[derive(Default)]
#[repr(align(64))]
struct Shard(RwLock<Map>);

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
    shards: [Shard; SHARDS],
    /// Operators, nodes and others in one word: a snapshot is one load, so it can't be torn.
    counts: AtomicU64,
    peak: Peak,
}

impl Default for ClientRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        let shards = std::array::from_fn(|_| Shard::default());
        ClientRegistry { shards, counts: AtomicU64::new(0), peak: Peak::default() }
    }

    /// Takes a client in until the returned guard is dropped.
    pub fn on_connect(self: &Arc<Self>, client: Arc<GatewayClient>) -> Registration {
        let mut shard = self.shard(client.conn_id).write();
        if let Some(replaced) = shard.insert(client.conn_id, client.clone()) {
            self.counts.fetch_sub(one(&replaced.auth.role), Ordering::Relaxed);
        }
        let before = self.counts.fetch_add(one(&client.auth.role), Ordering::Relaxed);
        drop(shard);
        self.peak.reach(snapshot(before + one(&client.auth.role)).total_connections as u64);
        Registration { registry: self.clone(), client }
    }

    /// Forgets a client, if it is this one that is registered under its ID; says whether it was.
    ///
    /// The guard's drop is the only call of it.
    fn on_disconnect(&self, client: &Arc<GatewayClient>) -> bool {
        let mut shard = self.shard(client.conn_id).write();
        match shard.entry(client.conn_id) {
            Entry::Occupied(entry) if Arc::ptr_eq(entry.get(), client) => {
                let removed = entry.remove();
                self.counts.fetch_sub(one(&removed.auth.role), Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    /// The client with this ID.
    pub fn get(&self, conn_id: ConnId) -> Option<Arc<GatewayClient>> {
        self.shard(conn_id).read().get(&conn_id).cloned()
    }

    /// Every client, in no order. Shard by shard: who comes or goes meanwhile may be in it or not.
    pub fn list(&self) -> Vec<Arc<GatewayClient>> {
        let mut clients = Vec::with_capacity(self.len());
        for shard in &self.shards {
            clients.extend(shard.0.read().values().cloned());
        }
        clients
    }

    /// The counts, at the same cost with ten clients and with a million. Always of one moment.
    pub fn health_snapshot(&self) -> HealthSnapshot {
        snapshot(self.counts.load(Ordering::Relaxed))
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.health_snapshot().total_connections
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most clients that there ever were at once.
    pub fn peak(&self) -> usize {
        self.peak.get() as usize
    }

    fn shard(&self, conn_id: ConnId) -> &RwLock<Map> {
        // The map takes its buckets from the low bits and its tags from the top seven: these are in between.
        &self.shards[(conn_id.bits() >> 48) as usize % SHARDS].0
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

fn snapshot(counts: u64) -> HealthSnapshot {
    let field = |index: u32| (counts >> (index * ROLE_BITS)) as usize & ROLE_MASK;
    let (operators, nodes) = (field(0), field(1));
    HealthSnapshot { total_connections: operators + nodes + field(2), operators, nodes }
}

/// A client's place in the registry; dropping it is the client's `on_disconnect`.
#[must_use = "dropping it forgets the client"]
pub struct Registration {
    registry: Arc<ClientRegistry>,
    client: Arc<GatewayClient>,
}

impl Deref for Registration {
    type Target = Arc<GatewayClient>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.on_disconnect(&self.client);
    }
}

#[cfg(test)]
mod tests;
