//! Tables by `conn_id`, and by name.

use crate::client::ConnId;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::Arc;

/// A random ID is its own hash.
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

/// The hasher for keys that are IDs.
pub type BuildIdHasher = BuildHasherDefault<IdHasher>;

/// A map by ID.
pub type IdMap<T> = HashMap<ConnId, T, BuildIdHasher>;

/// A power of two.
const SHARDS: usize = 64;

/// An emptied map gives its memory back if it has room for more than this.
const MAX_RETAINED_CAPACITY: usize = 64;

/// What a client may have none of.
pub trait IsEmpty: Default {
    /// Whether it has none.
    fn is_empty(&self) -> bool;
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

/// What only few clients have: a map of their own takes nothing from the others.
pub struct ClientTable<T> {
    shards: [Mutex<IdMap<T>>; SHARDS],
}

impl<T> Default for ClientTable<T> {
    fn default() -> Self {
        ClientTable { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl<T: IsEmpty> ClientTable<T> {
    /// Changes what a client has, at first none.
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

    /// Looks at what a client has.
    pub fn read<R>(&self, conn_id: ConnId, read: impl FnOnce(&T) -> R) -> R {
        match self.shard(conn_id).lock().get(&conn_id) {
            Some(value) => read(value),
            None => read(&T::default()),
        }
    }

    /// Takes away all that a client has.
    pub fn take(&self, conn_id: ConnId) -> T {
        let mut shard = self.shard(conn_id).lock();
        let taken = shard.remove(&conn_id);
        shrink(&mut shard);
        taken.unwrap_or_default()
    }

    /// Takes away all that anybody has.
    pub fn take_all(&self) -> impl Iterator<Item = (ConnId, T)> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut *shard.lock()))
    }

    /// How many clients have anything.
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

/// A table by name, in parts that are locked each by itself.
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
    /// The part of the table that this name is in, or would be.
    pub fn lock(&self, name: &str) -> MutexGuard<'_, NameMap<T>> {
        self.shards[self.hasher.hash_one(name) as usize % SHARDS].lock()
    }

    /// All parts, one after the other.
    pub fn lock_each(&self) -> impl Iterator<Item = MutexGuard<'_, NameMap<T>>> {
        self.shards.iter().map(|shard| shard.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_new_takes_no_room() {
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
