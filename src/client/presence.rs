//! Who is there, by presence key: the clients of each, and what one more of them means. A client is there until it is told
//! to go: from then on its key doesn't mean it any more, however long it takes.
//!
//! A key's lock is held while it is told that the first came or the last went, so that this is told in order. Whoever is told
//! may take the locks of topics and of clients' ways out meanwhile, in this order, and none before.

use super::index::{ByName, IdState};
use super::sender::spend_turn;
use super::{CloseReason, ConnId, GatewayClient, Handler};
use crate::auth::{AuthInfo, Role};
use crate::clock::Moment;
use crate::config::{self, PresencePolicy};
use parking_lot::MutexGuard;
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// All clients by presence key.
pub struct Presence {
    policies: config::Presence,
    keys: ByName<Present>,
}

/// One presence key.
struct Present {
    clients: Clients,
    /// Places that were promised to handshakes under way.
    reserved: u32,
    /// When the first of its clients came.
    since: Moment,
}

/// Who is there of one key.
pub struct PresenceKey {
    /// Its clients, one at least.
    pub clients: Vec<Arc<GatewayClient>>,
    /// Since when it had at least one.
    pub since: Moment,
}

/// A place that is kept for a client on its way; given back when dropped.
#[must_use = "dropping it gives the place to somebody else"]
pub struct Reservation(Option<(Arc<Presence>, Arc<AuthInfo>)>);

impl Presence {
    /// Nobody is there.
    pub fn new(policies: config::Presence) -> Self {
        Presence { policies, keys: ByName::default() }
    }

    /// Keeps a place for somebody. `None` where a key may have one client only, and has one, or one on its way.
    pub fn reserve(self: &Arc<Self>, auth: &Arc<AuthInfo>) -> Option<Reservation> {
        if self.policies.of(&auth.role) != PresencePolicy::Reject {
            return Some(Reservation(None));
        }
        let mut shard = self.shard(&auth.presence_key);
        let present = shard.entry(auth.presence_key.clone()).or_insert_with(Present::nobody);
        if present.reserved > 0 || !present.clients.is_empty() {
            return None;
        }
        present.reserved += 1;
        Some(Reservation(Some((self.clone(), auth.clone()))))
    }

    /// A client has come. It takes the place of all others of its key where that is the policy.
    pub(super) fn enter(&self, client: &Arc<GatewayClient>, handler: &dyn Handler) {
        let auth = &client.auth;
        let mut shard = self.shard(&auth.presence_key);
        let present = shard.entry(auth.presence_key.clone()).or_insert_with(Present::nobody);
        if present.clients.is_empty() {
            present.since = Moment::now();
            handler.on_joined(client);
        }
        let replaced = match self.policies.of(&auth.role) {
            PresencePolicy::Replace => std::mem::replace(&mut present.clients, Clients::Nobody),
            PresencePolicy::Allow | PresencePolicy::Reject => Clients::Nobody,
        };
        present.clients.insert(client.clone());
        drop(shard);
        for client in replaced.iter() {
            client.close(CloseReason::Replaced);
        }
    }

    /// A client is being closed, or has gone. To say so once is enough.
    pub(super) fn leave(&self, client: &Arc<GatewayClient>, handler: &dyn Handler) {
        let mut shard = self.shard(&client.auth.presence_key);
        let Some(present) = shard.get_mut(&client.auth.presence_key) else { return };
        if present.clients.remove(client.conn_id) && present.clients.is_empty() {
            handler.on_left(client);
        }
        forget_if_vacant(shard, &client.auth.presence_key);
    }

    /// Who is there of a key, if anybody is.
    pub fn get(&self, presence_key: &str) -> Option<PresenceKey> {
        let key = self.shard(presence_key).get(presence_key).filter(|it| !it.clients.is_empty()).map(Present::show)?;
        spend_turn(key.clients.len());
        Some(key)
    }

    /// The clients of a key, in no order.
    pub fn clients_of(&self, presence_key: &str) -> Vec<Arc<GatewayClient>> {
        self.get(presence_key).map(|present| present.clients).unwrap_or_default()
    }

    /// The client of a key that came last and isn't being closed.
    pub fn newest_of(&self, presence_key: &str) -> Option<Arc<GatewayClient>> {
        newest(&self.clients_of(presence_key)).cloned()
    }

    /// All keys of a role, in no order. Shard by shard: who comes or goes meanwhile may be in it or not.
    pub fn list(&self, role: &Role) -> Vec<PresenceKey> {
        let (mut keys, mut looks) = (Vec::new(), 0);
        for shard in self.keys.lock_each() {
            let is_asked = |present: &&Present| present.clients.iter().next().is_some_and(|one| one.auth.role == *role);
            looks += shard.len();
            keys.extend(shard.values().filter(is_asked).map(Present::show));
        }
        spend_turn(looks);
        keys
    }

    fn shard(&self, presence_key: &str) -> MutexGuard<'_, HashMap<Arc<str>, Present>> {
        self.keys.lock(presence_key)
    }
}

/// The one that came last and isn't being closed.
pub fn newest(clients: &[Arc<GatewayClient>]) -> Option<&Arc<GatewayClient>> {
    clients.iter().filter(|client| client.close_reason().is_none()).max_by_key(|client| client.connected_at)
}

fn forget_if_vacant(mut shard: MutexGuard<'_, HashMap<Arc<str>, Present>>, presence_key: &str) {
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
        forget_if_vacant(shard, &auth.presence_key);
    }
}

impl Present {
    fn nobody() -> Self {
        Present { clients: Clients::Nobody, reserved: 0, since: Moment::now() }
    }

    fn show(&self) -> PresenceKey {
        PresenceKey { clients: self.clients.iter().cloned().collect(), since: self.since }
    }
}

/// The clients of one key. One, as most nodes' keys have, takes no room of its own; the key of everybody, where nobody
/// needs a credential, may have a million.
enum Clients {
    Nobody,
    One(Arc<GatewayClient>),
    #[expect(clippy::box_collection, reason = "of the many keys, most have one client")]
    Many(Box<HashSet<ById, IdState>>),
}

impl Clients {
    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<GatewayClient>> {
        let (one, many) = match self {
            Clients::Nobody => (None, None),
            Clients::One(client) => (Some(client), None),
            Clients::Many(clients) => (None, Some(clients.iter().map(|client| &client.0))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn insert(&mut self, client: Arc<GatewayClient>) {
        *self = match std::mem::replace(self, Clients::Nobody) {
            Clients::Nobody => Clients::One(client),
            Clients::One(first) => Clients::Many(Box::new([first, client].map(ById).into_iter().collect())),
            Clients::Many(mut clients) => {
                clients.insert(ById(client));
                Clients::Many(clients)
            }
        };
    }

    /// Says whether it was there.
    fn remove(&mut self, conn_id: ConnId) -> bool {
        let was_there = match self {
            Clients::Nobody => false,
            Clients::One(client) => client.conn_id == conn_id,
            Clients::Many(clients) => clients.remove(&conn_id),
        };
        if was_there && self.iter().all(|client| client.conn_id == conn_id) {
            *self = Clients::Nobody;
        }
        was_there
    }
}

/// A client that is found by its ID.
struct ById(Arc<GatewayClient>);

impl Borrow<ConnId> for ById {
    fn borrow(&self) -> &ConnId {
        &self.0.conn_id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.conn_id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.conn_id == other.0.conn_id
    }
}

impl Eq for ById {}

#[cfg(test)]
mod tests;
