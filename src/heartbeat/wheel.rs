//! A timer wheel: finds the entries that are due at a tick. It has no clock, no lock and no runtime.
//!
//! It is a hashed wheel: an entry is in the slot of its deadline modulo the number of slots, and is skipped in the
//! rounds before its deadline. Scheduling and removing take constant time.

/// The number of slots: a power of two, so that `%` is a mask.
const SLOTS: usize = 1024;

/// Entries are allocated in chunks of this size, so that a growing wheel moves no entry: its user's lock is never held
/// while a million entries are copied.
const CHUNK: usize = 1024;

/// The index that marks the end of a list.
const NIL: u32 = u32::MAX;

/// Identifies an entry. After the entry is removed, the key is invalid, even if the memory is used for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Entry<T> {
    /// `None` while this position is free; `next` is then the next free position.
    value: Option<T>,
    deadline: u64,
    /// Incremented when the entry is removed; a key with another generation is invalid.
    generation: u32,
    /// Whether the entry is linked into the slot of its deadline.
    scheduled: bool,
    previous: u32,
    next: u32,
}

/// Entries of type `T`, each with at most one deadline, in ticks.
#[derive(Debug)]
pub struct TimerWheel<T> {
    /// The first entry of each slot's list.
    slots: Box<[u32; SLOTS]>,
    /// All chunks but the last are full.
    chunks: Vec<Vec<Entry<T>>>,
    /// The first free position.
    free: u32,
    len: usize,
    /// Every tick up to this one is done: its slot was visited, or a jump over more than a whole round skipped it.
    now: u64,
}

impl<T> Default for TimerWheel<T> {
    fn default() -> Self {
        TimerWheel { slots: Box::new([NIL; SLOTS]), chunks: Vec::new(), free: NIL, len: 0, now: 0 }
    }
}

impl<T> TimerWheel<T> {
    /// Adds an entry that is due at `deadline`, or at the next tick if that is in the past.
    pub fn insert(&mut self, value: T, deadline: u64) -> Key {
        let index = self.allocate(value);
        self.len += 1;
        self.link(index, deadline);
        Key { index, generation: self.at(index).generation }
    }

    /// The entry's value.
    pub fn get(&self, key: Key) -> Option<&T> {
        self.entry(key).and_then(|entry| entry.value.as_ref())
    }

    /// The entry's value, mutably.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let index = self.entry(key).map(|_| key.index)?;
        self.at_mut(index).value.as_mut()
    }

    /// Sets an entry's deadline. Does nothing if the entry was removed.
    pub fn schedule(&mut self, key: Key, deadline: u64) {
        if self.entry(key).is_some() {
            self.unlink(key.index);
            self.link(key.index, deadline);
        }
    }

    /// Removes an entry, scheduled or not.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.entry(key)?;
        self.unlink(key.index);
        let free = std::mem::replace(&mut self.free, key.index);
        self.len -= 1;
        let entry = self.at_mut(key.index);
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = free;
        entry.value.take()
    }

    /// Advances to tick `now` and appends each entry that is due to `due`, in no particular order, until `due` has
    /// `limit` entries. Those entries stay in the wheel, unscheduled, until they are scheduled again or removed.
    ///
    /// Returns whether it reached `now`; if not, the next call continues. Skipped ticks are caught up. A tick in the
    /// past changes nothing.
    pub fn advance(&mut self, now: u64, limit: usize, due: &mut Vec<Key>) -> bool {
        // After a jump over more than a whole round, one visit of each slot finds everything.
        self.now = self.now.max(now.saturating_sub(SLOTS as u64));
        while self.now < now {
            if !self.take_due(slot_of(self.now + 1), now, limit, due) {
                return false;
            }
            self.now += 1;
        }
        true
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the entries of a slot that are due. Returns whether it has visited the whole slot.
    fn take_due(&mut self, slot: usize, now: u64, limit: usize, due: &mut Vec<Key>) -> bool {
        let mut index = self.slots[slot];
        while index != NIL {
            let entry = self.at(index);
            let (next, deadline, generation) = (entry.next, entry.deadline, entry.generation);
            if deadline <= now {
                if due.len() >= limit {
                    return false;
                }
                self.unlink(index);
                due.push(Key { index, generation });
            }
            index = next;
        }
        true
    }

    fn entry(&self, key: Key) -> Option<&Entry<T>> {
        let entry = self.chunks.get(key.index as usize / CHUNK)?.get(key.index as usize % CHUNK)?;
        (entry.generation == key.generation && entry.value.is_some()).then_some(entry)
    }

    fn at(&self, index: u32) -> &Entry<T> {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    fn at_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// Stores a value at a free position, or at a new one.
    fn allocate(&mut self, value: T) -> u32 {
        if self.free != NIL {
            let index = self.free;
            let entry = self.at_mut(index);
            entry.value = Some(value);
            let next = entry.next;
            self.free = next;
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("a chunk was pushed if there was none");
        let index = u32::try_from(full + chunk.len()).ok().filter(|index| *index != NIL);
        chunk.push(Entry {
            value: Some(value),
            deadline: 0,
            generation: 0,
            scheduled: false,
            previous: NIL,
            next: NIL,
        });
        index.expect("fewer than four billion entries")
    }

    fn link(&mut self, index: u32, deadline: u64) {
        // The slot of a past deadline would be visited only in the next round.
        let deadline = deadline.max(self.now + 1);
        let slot = slot_of(deadline);
        let head = std::mem::replace(&mut self.slots[slot], index);
        if head != NIL {
            self.at_mut(head).previous = index;
        }
        let entry = self.at_mut(index);
        (entry.deadline, entry.scheduled) = (deadline, true);
        (entry.previous, entry.next) = (NIL, head);
    }

    fn unlink(&mut self, index: u32) {
        let entry = self.at_mut(index);
        if !std::mem::take(&mut entry.scheduled) {
            return;
        }
        let (previous, next, slot) = (entry.previous, entry.next, slot_of(entry.deadline));
        if previous == NIL {
            self.slots[slot] = next;
        } else {
            self.at_mut(previous).next = next;
        }
        if next != NIL {
            self.at_mut(next).previous = previous;
        }
    }
}

fn slot_of(tick: u64) -> usize {
    tick as usize % SLOTS
}

#[cfg(test)]
mod tests;
