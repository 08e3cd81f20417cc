//! Presence: the clients connected under each presence key, and the policy applied when another one connects. A client
//! is present until its close *begins*; how long the close takes doesn't matter.
//!
//! `on_joined` and `on_left` run with the key's shard locked, so that they are delivered in order. See
//! [the lock order](super#lock-order).

use super::tables::{BuildIdHasher, ShardedMap};
use crate::auth::{AuthInfo, Role};
use crate::budget;
use crate::client::{CloseReason, ConnId, GatewayClient, Handler};
use crate::clock::Timestamp;
use crate::config::{LiveConfig, PresencePolicy};
use log::warn;
use parking_lot::MutexGuard;
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How often the clients of one key may replace each other in a minute.
const MAX_REPLACEMENTS: u16 = 10;

/// The present clients of all presence keys.
pub struct Presence {
    config: Arc<LiveConfig>,
    keys: ShardedMap<KeyEntry>,
}

/// The state of one presence key. It is removed when it has neither a client nor a reservation.
struct KeyEntry {
    clients: ClientSet,
    /// Handshakes in progress that hold a [`Reservation`].
    reserved: u32,
    replacements: Replacements,
    /// Since when the key has had a client without interruption, though not necessarily the same one.
    since: Timestamp,
}

/// How often a client of a key has replaced another in the current minute.
#[derive(Clone, Copy, Default)]
struct Replacements {
    /// The minute, counted modulo 2^16.
    minute: u16,
    count: u16,
}

/// Why a presence key can't be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It is in use, and the policy of its role is `reject`.
    Taken,
    /// Its clients replace each other in a loop.
    ReplaceLoop,
}

/// The present clients of one key.
pub struct PresenceSnapshot {
    /// At least one client, in no particular order.
    pub clients: Vec<Arc<GatewayClient>>,
    /// Since when the key has had a client without interruption.
    pub since: Timestamp,
}

/// The right to join under a presence key, held during a handshake. Dropping it gives the right back.
#[must_use = "dropping it lets another client take the presence key"]
pub struct Reservation(Option<(Arc<Presence>, Arc<AuthInfo>)>);

impl Presence {
    /// No clients yet.
    pub fn new(config: Arc<LiveConfig>) -> Self {
        Presence { config, keys: ShardedMap::default() }
    }

    fn policy_for(&self, role: &Role) -> PresencePolicy {
        self.config.load().presence.policy_for(role)
    }

    /// Reserves a presence key for a handshake.
    ///
    /// # Errors
    /// The role's policy is `reject` and the key has a client or a reservation; or it is `replace` and the key's clients
    /// have replaced each other ten times in this minute: then the older one stays.
    pub fn reserve(self: &Arc<Self>, auth: &Arc<AuthInfo>) -> Result<Reservation, Unavailable> {
        match self.policy_for(&auth.role) {
            PresencePolicy::Allow => return Ok(Reservation(None)),
            PresencePolicy::Replace => return self.check_replacements(auth).map(|()| Reservation(None)),
            PresencePolicy::Reject => {}
        }
        let mut shard = self.shard(&auth.presence_key);
        let entry = shard.entry(auth.presence_key.clone()).or_insert_with(KeyEntry::empty);
        if entry.reserved > 0 || !entry.clients.is_empty() {
            return Err(Unavailable::Taken);
        }
        entry.reserved += 1;
        Ok(Reservation(Some((self.clone(), auth.clone()))))
    }

    fn check_replacements(&self, auth: &AuthInfo) -> Result<(), Unavailable> {
        let mut shard = self.shard(&auth.presence_key);
        let Some(entry) = shard.get_mut(&auth.presence_key).filter(|entry| !entry.clients.is_empty()) else {
            return Ok(());
        };
        let replacements = entry.replacements.current(minute());
        if replacements.count < MAX_REPLACEMENTS {
            return Ok(());
        }
        if replacements.count == MAX_REPLACEMENTS {
            // Logged once in a minute.
            replacements.count += 1;
            warn!(
                "clients replace each other in a loop, new ones are refused for up to a minute presence_key={}",
                auth.presence_key
            );
        }
        Err(Unavailable::ReplaceLoop)
    }

    /// Adds a connected client. If the role's policy is `replace`, the other clients of its key are closed.
    pub(crate) fn join(&self, client: &Arc<GatewayClient>, handler: &dyn Handler) {
        let auth = &client.auth;
        let mut shard = self.shard(&auth.presence_key);
        let entry = shard.entry(auth.presence_key.clone()).or_insert_with(KeyEntry::empty);
        if entry.clients.is_empty() {
            entry.since = Timestamp::now();
            handler.on_joined(client);
        }
        let replaced = match self.policy_for(&auth.role) {
            PresencePolicy::Replace => std::mem::replace(&mut entry.clients, ClientSet::Empty),
            PresencePolicy::Allow | PresencePolicy::Reject => ClientSet::Empty,
        };
        if !replaced.is_empty() {
            entry.replacements.current(minute()).count += 1;
        }
        entry.clients.insert(client.clone());
        drop(shard);
        for client in replaced.iter() {
            client.close(CloseReason::Replaced);
        }
    }

    /// Removes a client that is closing or disconnected. Further calls for the client do nothing.
    pub(crate) fn leave(&self, client: &Arc<GatewayClient>, handler: &dyn Handler) {
        let mut shard = self.shard(&client.auth.presence_key);
        let Some(entry) = shard.get_mut(&client.auth.presence_key) else { return };
        if entry.clients.remove(client.conn_id) && entry.clients.is_empty() {
            handler.on_left(client);
        }
        remove_if_empty(shard, &client.auth.presence_key);
    }

    /// The present clients of a key; `None` if it has none. Charges them to the current task's budget.
    pub fn get(&self, presence_key: &str) -> Option<PresenceSnapshot> {
        let shard = self.shard(presence_key);
        let snapshot = shard.get(presence_key).filter(|entry| !entry.clients.is_empty()).map(KeyEntry::snapshot)?;
        drop(shard);
        budget::charge(snapshot.clients.len());
        Some(snapshot)
    }

    /// The present clients of a key, in no particular order.
    pub fn clients_of(&self, presence_key: &str) -> Vec<Arc<GatewayClient>> {
        self.get(presence_key).map(|snapshot| snapshot.clients).unwrap_or_default()
    }

    /// The client of a key that connected last and isn't closing.
    pub fn latest_of(&self, presence_key: &str) -> Option<Arc<GatewayClient>> {
        latest(&self.clients_of(presence_key)).cloned()
    }

    /// The present keys of a role in one shard, in no particular order; `None` if there is no such shard. Charges all
    /// keys of the shard, of any role, to the current task's budget.
    pub fn list_shard(&self, index: usize, role: &Role) -> Option<Vec<PresenceSnapshot>> {
        let has_role = |entry: &&KeyEntry| entry.clients.iter().next().is_some_and(|one| one.auth.role == *role);
        let shard = self.keys.lock_shard(index)?;
        let (keys, visits) = (shard.values().filter(has_role).map(KeyEntry::snapshot).collect(), shard.len());
        drop(shard);
        budget::charge(visits);
        Some(keys)
    }

    fn shard(&self, presence_key: &str) -> MutexGuard<'_, HashMap<Arc<str>, KeyEntry>> {
        self.keys.lock(presence_key)
    }
}

/// The current minute, modulo 2^16.
fn minute() -> u16 {
    (Timestamp::now().seconds() / 60) as u16
}

impl Replacements {
    /// Those in this minute.
    fn current(&mut self, minute: u16) -> &mut Self {
        if self.minute != minute {
            *self = Replacements { minute, count: 0 };
        }
        self
    }
}

/// The client that connected last and isn't closing.
pub fn latest(clients: &[Arc<GatewayClient>]) -> Option<&Arc<GatewayClient>> {
    clients.iter().filter(|client| client.close_reason().is_none()).max_by_key(|client| client.connected_at)
}

fn remove_if_empty(mut shard: MutexGuard<'_, HashMap<Arc<str>, KeyEntry>>, presence_key: &str) {
    if shard.get(presence_key).is_some_and(|entry| entry.reserved == 0 && entry.clients.is_empty()) {
        shard.remove(presence_key);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some((presence, auth)) = &self.0 else { return };
        let mut shard = presence.shard(&auth.presence_key);
        if let Some(entry) = shard.get_mut(&auth.presence_key) {
            entry.reserved -= 1;
        }
        remove_if_empty(shard, &auth.presence_key);
    }
}

impl KeyEntry {
    fn empty() -> Self {
        KeyEntry {
            clients: ClientSet::Empty,
            reserved: 0,
            replacements: Replacements::default(),
            since: Timestamp::now(),
        }
    }

    fn snapshot(&self) -> PresenceSnapshot {
        PresenceSnapshot { clients: self.clients.iter().cloned().collect(), since: self.since }
    }
}

/// The clients of one key. Most keys have one client, which needs no allocation; the key of anonymous clients may have
/// a million.
enum ClientSet {
    Empty,
    One(Arc<GatewayClient>),
    #[expect(clippy::box_collection, reason = "most keys have one client, and the set would make all of them larger")]
    Many(Box<HashSet<ByConnId, BuildIdHasher>>),
}

impl ClientSet {
    fn is_empty(&self) -> bool {
        matches!(self, ClientSet::Empty)
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

    /// Removes a client and returns whether it was in the set.
    fn remove(&mut self, conn_id: ConnId) -> bool {
        let removed = match self {
            ClientSet::Empty => false,
            ClientSet::One(client) => client.conn_id == conn_id,
            ClientSet::Many(clients) => clients.remove(&conn_id),
        };
        let has_others = matches!(self, ClientSet::Many(clients) if !clients.is_empty());
        if removed && !has_others {
            *self = ClientSet::Empty;
        }
        removed
    }
}

/// A client that hashes and compares as its ID.
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
