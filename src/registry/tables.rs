//! Hash maps for clients: keyed by `conn_id`, and sharded with a lock for each shard.

use crate::client::ConnId;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::Arc;

/// Uses a random ID as its own hash.
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

impl Hash for ConnId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.bits());
    }
}

/// Builds the hasher for keys that are IDs.
pub type BuildIdHasher = BuildHasherDefault<IdHasher>;

/// A hash map keyed by `conn_id`.
pub type IdMap<T> = HashMap<ConnId, T, BuildIdHasher>;

/// A power of two, so that `%` is a mask.
const SHARDS: usize = 64;

/// A map that becomes empty frees its memory if its capacity is larger than this.
const MAX_RETAINED_CAPACITY: usize = 64;

/// A value whose empty state isn't stored.
pub trait IsEmpty: Default {
    /// Whether the value equals its default.
    fn is_empty(&self) -> bool;
}

impl IsEmpty for bool {
    fn is_empty(&self) -> bool {
        !self
    }
}

impl<T> IsEmpty for Option<T> {
    fn is_empty(&self) -> bool {
        Option::is_none(self)
    }
}

impl<T> IsEmpty for BTreeSet<T> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> IsEmpty for HashMap<K, V> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// Per-client state that few clients have, in a table of its own, so that the others need no memory for it.
pub struct ClientTable<T> {
    shards: [Mutex<IdMap<T>>; SHARDS],
}

impl<T> Default for ClientTable<T> {
    fn default() -> Self {
        ClientTable { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl<T: IsEmpty> ClientTable<T> {
    /// Changes a client's value, which is the default until it is first changed. `change` runs under the shard's lock.
    pub fn update<R>(&self, conn_id: ConnId, change: impl FnOnce(&mut T) -> R) -> R {
        let mut shard = self.shard(conn_id).lock();
        let value = shard.entry(conn_id).or_default();
        let result = change(value);
        if value.is_empty() {
            shard.remove(&conn_id);
            shrink(&mut shard);
        }
        result
    }

    /// Reads a client's value, or the default. `read` runs under the shard's lock.
    pub fn read<R>(&self, conn_id: ConnId, read: impl FnOnce(&T) -> R) -> R {
        match self.shard(conn_id).lock().get(&conn_id) {
            Some(value) => read(value),
            None => read(&T::default()),
        }
    }

    /// Removes and returns a client's value.
    pub fn take(&self, conn_id: ConnId) -> T {
        let mut shard = self.shard(conn_id).lock();
        let taken = shard.remove(&conn_id);
        shrink(&mut shard);
        taken.unwrap_or_default()
    }

    /// Removes and returns the values of all clients, one shard after the other.
    pub fn take_all(&self) -> impl Iterator<Item = (ConnId, T)> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut *shard.lock()))
    }

    /// The number of clients with a value.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn shard(&self, conn_id: ConnId) -> &Mutex<IdMap<T>> {
        &self.shards[(conn_id.bits() >> 48) as usize % SHARDS]
    }
}

fn shrink<T>(map: &mut IdMap<T>) {
    if map.is_empty() && map.capacity() > MAX_RETAINED_CAPACITY {
        *map = IdMap::default();
    }
}

/// A hash map keyed by name, split into shards that are locked separately. Its hash function has a random key, since
/// peers choose names.
pub struct ShardedMap<T> {
    hasher: RandomState,
    shards: [Mutex<NameMap<T>>; SHARDS],
}

type NameMap<T> = HashMap<Arc<str>, T>;

impl<T> Default for ShardedMap<T> {
    fn default() -> Self {
        ShardedMap { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl<T> ShardedMap<T> {
    /// Locks the shard that this name belongs to.
    pub fn lock(&self, name: &str) -> MutexGuard<'_, NameMap<T>> {
        self.shards[self.hasher.hash_one(name) as usize % SHARDS].lock()
    }

    /// Locks the shard with this index; `None` if there is no such shard.
    pub fn lock_shard(&self, index: usize) -> Option<MutexGuard<'_, NameMap<T>>> {
        self.shards.get(index).map(Mutex::lock)
    }

    /// Locks each shard, one after the other.
    #[cfg(test)]
    pub fn lock_each(&self) -> impl Iterator<Item = MutexGuard<'_, NameMap<T>>> {
        self.shards.iter().map(|shard| shard.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_value_is_not_stored() {
        let table = ClientTable::<BTreeSet<u8>>::default();
        let (one, other) = (ConnId::random(), ConnId::random());
        table.update(one, |value| value.insert(1));
        table.update(other, |_| ());
        assert_eq!((table.read(one, BTreeSet::len), table.read(other, BTreeSet::len), table.len()), (1, 0, 1));
        table.update(one, BTreeSet::clear);
        assert_eq!(table.len(), 0);
        table.update(one, |value| value.insert(2));
        assert_eq!((table.take(one), table.take(one), table.len()), (BTreeSet::from([2]), BTreeSet::new(), 0));
    }
}
