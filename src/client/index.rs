//! Tables by `conn_id`, and by name.

use super::ConnId;
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
pub type IdState = BuildHasherDefault<IdHasher>;

/// A map by ID.
pub type IdMap<T> = HashMap<ConnId, T, IdState>;

/// A power of two.
const SHARDS: usize = 64;

/// An emptied map gives its memory back if it has room for more than this.
const KEPT_CAPACITY: usize = 64;

/// What a client may have none of.
pub trait Part: Default {
    /// Whether it has none.
    fn is_none(&self) -> bool;
}

impl<T> Part for Option<T> {
    fn is_none(&self) -> bool {
        Option::is_none(self)
    }
}

impl<T> Part for BTreeSet<T> {
    fn is_none(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Part for HashMap<K, V> {
    fn is_none(&self) -> bool {
        self.is_empty()
    }
}

/// What only few clients have: a map of their own takes nothing from the others.
pub struct ByClient<T> {
    shards: [Mutex<IdMap<T>>; SHARDS],
}

impl<T> Default for ByClient<T> {
    fn default() -> Self {
        ByClient { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl<T: Part> ByClient<T> {
    /// Changes what a client has, at first none.
    pub fn change<R>(&self, conn_id: ConnId, change: impl FnOnce(&mut T) -> R) -> R {
        let mut shard = self.shard(conn_id).lock();
        let value = shard.entry(conn_id).or_default();
        let result = change(value);
        if value.is_none() {
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
    if map.is_empty() && map.capacity() > KEPT_CAPACITY {
        *map = IdMap::default();
    }
}

/// A table by name, in parts that are locked each by itself.
pub struct ByName<T> {
    hasher: RandomState,
    shards: [Mutex<NameMap<T>>; SHARDS],
}

type NameMap<T> = HashMap<Arc<str>, T>;

impl<T> Default for ByName<T> {
    fn default() -> Self {
        ByName { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl<T> ByName<T> {
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
        let table = ByClient::<BTreeSet<u8>>::default();
        let (one, other) = (ConnId::random(), ConnId::random());
        table.change(one, |value| value.insert(1));
        table.change(other, |_| ());
        assert_eq!((table.read(one, BTreeSet::len), table.read(other, BTreeSet::len), table.len()), (1, 0, 1));
        table.change(one, BTreeSet::clear);
        assert_eq!(table.len(), 0);
        table.change(one, |value| value.insert(2));
        assert_eq!((table.take(one), table.take(one), table.len()), (BTreeSet::from([2]), BTreeSet::new(), 0));
    }
}
