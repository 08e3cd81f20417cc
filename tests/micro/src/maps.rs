//! Maps of all clients: the registry, and four that it could have been.

use aisopod_gateway::{
    AuthInfo, Bounds, ClientRegistry, ConnId, GatewayClient, HealthSnapshot, RemoteAddr, Role, Sender, SenderContext,
};
use dashmap::DashMap;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A random ID is its own hash, as in the registry.
#[derive(Default)]
pub struct IdHasher(u64);

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

/// Clients, every other one an operator.
pub fn clients(count: usize) -> Vec<Arc<GatewayClient>> {
    let bounds = Bounds { messages: 1024, bytes: 4 * 1024 * 1024 };
    let context = Arc::new(SenderContext { bounds, stats: Arc::default() });
    let roles = [Role::Operator, Role::Node].map(|role| Arc::new(AuthInfo::new("micro", role, [])));
    (0..count)
        .map(|index| {
            let (sender, auth) = (Sender::new(context.clone()), roles[index % 2].clone());
            Arc::new(GatewayClient::new(ConnId::random(), sender, RemoteAddr::Unix, auth))
        })
        .collect()
}

/// What is asked of a map of all clients.
pub trait Clients: Default + Sync {
    /// What clients are found by.
    type Key: Send + Sync;

    /// The key of a client; made once, as its owner keeps it.
    fn key(client: &GatewayClient) -> Self::Key;
    /// Takes a client in, and returns what its session holds: its client at least.
    fn come(&self, key: &Self::Key, client: &Arc<GatewayClient>) -> impl Send + Sync;
    /// Forgets it, when its session has dropped that.
    fn go(&self, key: &Self::Key);
    /// Finds it.
    fn get(&self, key: &Self::Key) -> Option<Arc<GatewayClient>>;
    /// All of them.
    fn list(&self) -> Vec<Arc<GatewayClient>>;
    /// How many there are, by role.
    fn counts(&self) -> HealthSnapshot;
}

/// A map with everybody in it.
pub struct Full<M: Clients> {
    /// The map.
    pub map: M,
    /// Everybody's keys, so that neighbours here came far apart.
    pub keys: Vec<M::Key>,
}

impl<M: Clients> Full<M> {
    /// A map with these in it.
    pub fn new(all: &[Arc<GatewayClient>]) -> Self {
        let map = M::default();
        // They stay to the end.
        all.iter().for_each(|client| std::mem::forget(map.come(&M::key(client), client)));
        let keys = (0..all.len()).map(|index| M::key(&all[index * STRIDE % all.len()])).collect();
        Full { map, keys }
    }
}

/// A prime.
const STRIDE: usize = 7919;

/// The gateway's.
#[derive(Default)]
pub struct Registry(ClientRegistry);

impl Clients for Registry {
    type Key = ConnId;

    fn key(client: &GatewayClient) -> ConnId {
        client.conn_id
    }
    fn come(&self, _: &ConnId, client: &Arc<GatewayClient>) -> impl Send + Sync {
        self.0.on_connect(client.clone())
    }
    fn go(&self, _: &ConnId) {
        // Dropping the registration was enough.
    }
    fn get(&self, key: &ConnId) -> Option<Arc<GatewayClient>> {
        self.0.get(*key)
    }
    fn list(&self) -> Vec<Arc<GatewayClient>> {
        self.0.list()
    }
    fn counts(&self) -> HealthSnapshot {
        self.0.health_snapshot()
    }
}

/// A `DashMap` with the registry's hasher.
#[derive(Default)]
pub struct DashById(DashMap<ConnId, Arc<GatewayClient>, BuildHasherDefault<IdHasher>>);

impl Clients for DashById {
    type Key = ConnId;

    fn key(client: &GatewayClient) -> ConnId {
        client.conn_id
    }
    fn come(&self, key: &ConnId, client: &Arc<GatewayClient>) -> impl Send + Sync {
        self.0.insert(*key, client.clone());
        client.clone()
    }
    fn go(&self, key: &ConnId) {
        self.0.remove(key);
    }
    fn get(&self, key: &ConnId) -> Option<Arc<GatewayClient>> {
        self.0.get(key).map(|client| client.clone())
    }
    fn list(&self) -> Vec<Arc<GatewayClient>> {
        self.0.iter().map(|client| client.clone()).collect()
    }
    fn counts(&self) -> HealthSnapshot {
        count(self.0.iter().map(|client| client.auth.role.clone()))
    }
}

/// The same as a registry: with counts that cost nothing to read, and a guard that forgets the client.
#[derive(Default)]
pub struct DashRegistry(Arc<Counted>);

#[derive(Default)]
struct Counted {
    map: DashMap<ConnId, Arc<GatewayClient>, BuildHasherDefault<IdHasher>>,
    operators: AtomicUsize,
    nodes: AtomicUsize,
    others: AtomicUsize,
}

impl Counted {
    fn count(&self, role: &Role) -> &AtomicUsize {
        match role {
            Role::Operator => &self.operators,
            Role::Node => &self.nodes,
            Role::Other(_) => &self.others,
        }
    }
}

struct Place {
    map: Arc<Counted>,
    client: Arc<GatewayClient>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_this = |_: &ConnId, client: &Arc<GatewayClient>| Arc::ptr_eq(client, &self.client);
        if self.map.map.remove_if(&self.client.conn_id, is_this).is_some() {
            self.map.count(&self.client.auth.role).fetch_sub(1, Relaxed);
        }
    }
}

impl Clients for DashRegistry {
    type Key = ConnId;

    fn key(client: &GatewayClient) -> ConnId {
        client.conn_id
    }
    fn come(&self, key: &ConnId, client: &Arc<GatewayClient>) -> impl Send + Sync {
        if let Some(replaced) = self.0.map.insert(*key, client.clone()) {
            self.0.count(&replaced.auth.role).fetch_sub(1, Relaxed);
        }
        self.0.count(&client.auth.role).fetch_add(1, Relaxed);
        Place { map: self.0.clone(), client: client.clone() }
    }
    fn go(&self, _: &ConnId) {
        // Dropping the guard was enough.
    }
    fn get(&self, key: &ConnId) -> Option<Arc<GatewayClient>> {
        self.0.map.get(key).map(|client| client.clone())
    }
    fn list(&self) -> Vec<Arc<GatewayClient>> {
        self.0.map.iter().map(|client| client.clone()).collect()
    }
    fn counts(&self) -> HealthSnapshot {
        let [operators, nodes, others] =
            [&self.0.operators, &self.0.nodes, &self.0.others].map(|count| count.load(Relaxed));
        HealthSnapshot { total_connections: operators + nodes + others, operators, nodes }
    }
}

/// The predecessor's: a `DashMap` by the ID's text, with the default hasher.
#[derive(Default)]
pub struct DashByText(DashMap<String, Arc<GatewayClient>>);

impl Clients for DashByText {
    type Key = String;

    fn key(client: &GatewayClient) -> String {
        client.conn_id.to_string()
    }
    fn come(&self, key: &String, client: &Arc<GatewayClient>) -> impl Send + Sync {
        self.0.insert(key.clone(), client.clone());
        client.clone()
    }
    fn go(&self, key: &String) {
        self.0.remove(key);
    }
    fn get(&self, key: &String) -> Option<Arc<GatewayClient>> {
        self.0.get(key).map(|client| client.clone())
    }
    fn list(&self) -> Vec<Arc<GatewayClient>> {
        self.0.iter().map(|client| client.clone()).collect()
    }
    fn counts(&self) -> HealthSnapshot {
        count(self.0.iter().map(|client| client.auth.role.clone()))
    }
}

/// One map under one lock, with the registry's hasher.
#[derive(Default)]
pub struct OneLock(RwLock<HashMap<ConnId, Arc<GatewayClient>, BuildHasherDefault<IdHasher>>>);

impl Clients for OneLock {
    type Key = ConnId;

    fn key(client: &GatewayClient) -> ConnId {
        client.conn_id
    }
    fn come(&self, key: &ConnId, client: &Arc<GatewayClient>) -> impl Send + Sync {
        self.0.write().insert(*key, client.clone());
        client.clone()
    }
    fn go(&self, key: &ConnId) {
        self.0.write().remove(key);
    }
    fn get(&self, key: &ConnId) -> Option<Arc<GatewayClient>> {
        self.0.read().get(key).cloned()
    }
    fn list(&self) -> Vec<Arc<GatewayClient>> {
        self.0.read().values().cloned().collect()
    }
    fn counts(&self) -> HealthSnapshot {
        count(self.0.read().values().map(|client| client.auth.role.clone()))
    }
}

/// Counts by looking at everybody.
fn count(roles: impl Iterator<Item = Role>) -> HealthSnapshot {
    let mut counts = HealthSnapshot::default();
    for role in roles {
        counts.total_connections += 1;
        match role {
            Role::Operator => counts.operators += 1,
            Role::Node => counts.nodes += 1,
            Role::Other(_) => {}
        }
    }
    counts
}
