//! A timer wheel: which of many entries are due at a tick. No clock, no tokio, no lock.
//!
//! Hashed: an entry waits in the slot of its deadline modulo the number of slots, and is passed over in rounds that
//! are too early for it. Scheduling and removing cost the same with ten entries and with a million.

/// Slots; a power of two.
const SLOTS: usize = 1024;

/// Entries that are stored together. A wheel that grows moves none of them: nobody waits while a million are copied.
const CHUNK: usize = 1024;

/// No entry: the end of a list.
const NIL: u32 = u32::MAX;

/// Names one entry as long as it is in the wheel, and never a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Entry<T> {
    /// `None` while the place is free; `next` is then the next free place.
    value: Option<T>,
    deadline: u64,
    generation: u32,
    scheduled: bool,
    previous: u32,
    next: u32,
}

/// Entries of `T`, each with at limit one deadline, in ticks.
#[derive(Debug)]
pub struct TimerWheel<T> {
    slots: Box<[u32; SLOTS]>,
    /// Each full but for the last.
    chunks: Vec<Vec<Entry<T>>>,
    free: u32,
    len: usize,
    /// Everything due up to here was handed out.
    now: u64,
}

impl<T> Default for TimerWheel<T> {
    fn default() -> Self {
        TimerWheel { slots: Box::new([NIL; SLOTS]), chunks: Vec::new(), free: NIL, len: 0, now: 0 }
    }
}

impl<T> TimerWheel<T> {
    /// Takes in an entry that is due at `deadline`; one that lies in the past is due at the next tick.
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

    /// The entry's value, to change.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let index = self.entry(key).map(|_| key.index)?;
        self.at_mut(index).value.as_mut()
    }

    /// Gives an entry, if it is still there, a new deadline instead of any that it has.
    pub fn schedule(&mut self, key: Key, deadline: u64) {
        if self.entry(key).is_some() {
            self.unlink(key.index);
            self.link(key.index, deadline);
        }
    }

    /// Takes an entry out, scheduled or not.
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

    /// Goes on towards tick `now`, and adds to `due` each entry whose deadline has come, in no order, until there are
    /// `limit` in it. An entry in it stays in the wheel, unscheduled, until it is scheduled again or removed.
    ///
    /// Says whether it got there; if not, the next call goes on. Ticks that were missed are caught up. Going back
    /// changes nothing.
    pub fn advance(&mut self, now: u64, limit: usize, due: &mut Vec<Key>) -> bool {
        // After a jump over the whole wheel, one look at each slot finds everything.
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

    /// Says whether it has seen the whole slot.
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

    /// Stores a value in a free place, or a new one.
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
        let chunk = self.chunks.last_mut().expect("it was just looked after");
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
        // The slot of a past deadline would come round too late.
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
        match previous {
            NIL => self.slots[slot] = next,
            previous => self.at_mut(previous).next = next,
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
