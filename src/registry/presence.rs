//! Who is there, by presence key: the clients of each, and what one more of them means. A client is there until it is told
//! to go: from then on its key doesn't mean it any more, however long it takes.
//!
//! A key's lock is held while it is told that the first came or the last went, so that this is told in order. Whoever is told
//! may take the locks of topics and of clients' ways out meanwhile, in this order, and none before.

use super::tables::{BuildIdHasher, ShardedMap};
use crate::auth::{AuthInfo, Role};
use crate::budget;
use crate::client::{CloseReason, ConnId, GatewayClient, Handler};
use crate::clock::Timestamp;
use crate::config;
use crate::config::PresencePolicy;
use parking_lot::MutexGuard;
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// All clients by presence key.
pub struct Presence {
    policies: config::PresencePolicies,
    keys: ShardedMap<KeyEntry>,
}

/// One presence key.
struct KeyEntry {
    clients: ClientSet,
    /// Places that were promised to handshakes under way.
    reserved: u32,
    /// When the first of its clients came.
    since: Timestamp,
}

/// Who is there of one key.
pub struct PresenceSnapshot {
    /// Its clients, one at least.
    pub clients: Vec<Arc<GatewayClient>>,
    /// Since when it had at least one.
    pub since: Timestamp,
}

/// A place that is kept for a client on its way; given back when dropped.
#[must_use = "dropping it gives the place to somebody else"]
pub struct Reservation(Option<(Arc<Presence>, Arc<AuthInfo>)>);

impl Presence {
    /// Empty is there.
    pub fn new(policies: config::PresencePolicies) -> Self {
        Presence { policies, keys: ShardedMap::default() }
    }

    /// Keeps a place for somebody. `None` where a key may have one client only, and has one, or one on its way.
    pub fn reserve(self: &Arc<Self>, auth: &Arc<AuthInfo>) -> Option<Reservation> {
        if self.policies.policy_for(&auth.role) != PresencePolicy::Reject {
            return Some(Reservation(None));
        }
        let mut shard = self.shard(&auth.presence_key);
        let present = shard.entry(auth.presence_key.clone()).or_insert_with(KeyEntry::empty);
        if present.reserved > 0 || !present.clients.is_empty() {
            return None;
        }
        present.reserved += 1;
        Some(Reservation(Some((self.clone(), auth.clone()))))
    }

    /// A client has come. It takes the place of all others of its key where that is the policy.
    pub(crate) fn join(&self, client: &Arc<GatewayClient>, handler: &dyn Handler) {
        let auth = &client.auth;
        let mut shard = self.shard(&auth.presence_key);
        let present = shard.entry(auth.presence_key.clone()).or_insert_with(KeyEntry::empty);
        if present.clients.is_empty() {
            present.since = Timestamp::now();
            handler.on_joined(client);
        }
        let replaced = match self.policies.policy_for(&auth.role) {
            PresencePolicy::Replace => std::mem::replace(&mut present.clients, ClientSet::Empty),
            PresencePolicy::Allow | PresencePolicy::Reject => ClientSet::Empty,
        };
        present.clients.insert(client.clone());
        drop(shard);
        for client in replaced.iter() {
            client.close(CloseReason::Replaced);
        }
    }

    /// A client is being closed, or has gone. To say so once is enough.
    pub(crate) fn leave(&self, client: &Arc<GatewayClient>, handler: &dyn Handler) {
        let mut shard = self.shard(&client.auth.presence_key);
        let Some(present) = shard.get_mut(&client.auth.presence_key) else { return };
        if present.clients.remove(client.conn_id) && present.clients.is_empty() {
            handler.on_left(client);
        }
        remove_if_empty(shard, &client.auth.presence_key);
    }

    /// Who is there of a key, if anybody is.
    pub fn get(&self, presence_key: &str) -> Option<PresenceSnapshot> {
        let key =
            self.shard(presence_key).get(presence_key).filter(|it| !it.clients.is_empty()).map(KeyEntry::snapshot)?;
        budget::charge(key.clients.len());
        Some(key)
    }

    /// The clients of a key, in no order.
    pub fn clients_of(&self, presence_key: &str) -> Vec<Arc<GatewayClient>> {
        self.get(presence_key).map(|present| present.clients).unwrap_or_default()
    }

    /// The client of a key that came last and isn't being closed.
    pub fn latest_of(&self, presence_key: &str) -> Option<Arc<GatewayClient>> {
        latest(&self.clients_of(presence_key)).cloned()
    }

    /// All keys of a role, in no order. Shard by shard: who comes or goes meanwhile may be in it or not.
    pub fn list(&self, role: &Role) -> Vec<PresenceSnapshot> {
        let (mut keys, mut looks) = (Vec::new(), 0);
        for shard in self.keys.lock_each() {
            let is_asked =
                |present: &&KeyEntry| present.clients.iter().next().is_some_and(|one| one.auth.role == *role);
            looks += shard.len();
            keys.extend(shard.values().filter(is_asked).map(KeyEntry::snapshot));
        }
        budget::charge(looks);
        keys
    }

    fn shard(&self, presence_key: &str) -> MutexGuard<'_, HashMap<Arc<str>, KeyEntry>> {
        self.keys.lock(presence_key)
    }
}

/// The one that came last and isn't being closed.
pub fn latest(clients: &[Arc<GatewayClient>]) -> Option<&Arc<GatewayClient>> {
    clients.iter().filter(|client| client.close_reason().is_none()).max_by_key(|client| client.connected_at)
}

fn remove_if_empty(mut shard: MutexGuard<'_, HashMap<Arc<str>, KeyEntry>>, presence_key: &str) {
    if shard.get(presence_key).is_some_and(|present| present.reserved == 0 && present.clients.is_empty()) {
        shard.remove(presence_key);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some((presence, auth)) = &self.0 else { return };
        let mut shard = presence.shard(&auth.presence_key);
        if let Some(present) = shard.get_mut(&auth.presence_key) {
            present.reserved -= 1;
        }
        remove_if_empty(shard, &auth.presence_key);
    }
}

impl KeyEntry {
    fn empty() -> Self {
        KeyEntry { clients: ClientSet::Empty, reserved: 0, since: Timestamp::now() }
    }

    fn snapshot(&self) -> PresenceSnapshot {
        PresenceSnapshot { clients: self.clients.iter().cloned().collect(), since: self.since }
    }
}

/// The clients of one key. One, as most nodes' keys have, takes no room of its own; the key of everybody, where nobody
/// needs a credential, may have a million.
enum ClientSet {
    Empty,
    One(Arc<GatewayClient>),
    #[expect(clippy::box_collection, reason = "of the many keys, most have one client")]
    Many(Box<HashSet<ByConnId, BuildIdHasher>>),
}

impl ClientSet {
    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<GatewayClient>> {
        let (one, many) = match self {
            ClientSet::Empty => (None, None),
            ClientSet::One(client) => (Some(client), None),
            ClientSet::Many(clients) => (None, Some(clients.iter().map(|client| &client.0))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn insert(&mut self, client: Arc<GatewayClient>) {
        *self = match std::mem::replace(self, ClientSet::Empty) {
            ClientSet::Empty => ClientSet::One(client),
            ClientSet::One(first) => ClientSet::Many(Box::new([first, client].map(ByConnId).into_iter().collect())),
            ClientSet::Many(mut clients) => {
                clients.insert(ByConnId(client));
                ClientSet::Many(clients)
            }
        };
    }

    /// Says whether it was there.
    fn remove(&mut self, conn_id: ConnId) -> bool {
        let was_there = match self {
            ClientSet::Empty => false,
            ClientSet::One(client) => client.conn_id == conn_id,
            ClientSet::Many(clients) => clients.remove(&conn_id),
        };
        if was_there && self.iter().all(|client| client.conn_id == conn_id) {
            *self = ClientSet::Empty;
        }
        was_there
    }
}

/// A client that is found by its ID.
struct ByConnId(Arc<GatewayClient>);

impl Borrow<ConnId> for ByConnId {
    fn borrow(&self) -> &ConnId {
        &self.0.conn_id
    }
}

impl Hash for ByConnId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.conn_id.hash(state);
    }
}

impl PartialEq for ByConnId {
    fn eq(&self, other: &Self) -> bool {
        self.0.conn_id == other.0.conn_id
    }
}

impl Eq for ByConnId {}

#[cfg(test)]
mod tests;
