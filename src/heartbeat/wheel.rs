//! A timer wheel: which of many entries are due at a tick. No clock, no tokio, no lock.
//!
//! Hashed: an entry waits in the slot of its deadline modulo the number of slots, and is passed over in rounds that
//! are too early for it. Scheduling and removing cost the same with ten entries and with a million.

/// Slots; a power of two.
const SLOTS: usize = 1024;

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

/// Entries of `T`, each with at most one deadline, in ticks.
#[derive(Debug)]
pub struct TimerWheel<T> {
    slots: Box<[u32; SLOTS]>,
    entries: Vec<Entry<T>>,
    free: u32,
    len: usize,
    /// Everything due up to here was handed out.
    now: u64,
}

impl<T> Default for TimerWheel<T> {
    fn default() -> Self {
        TimerWheel { slots: Box::new([NIL; SLOTS]), entries: Vec::new(), free: NIL, len: 0, now: 0 }
    }
}

impl<T> TimerWheel<T> {
    /// Takes in an entry that is due at `deadline`; one that lies in the past is due at the next tick.
    pub fn insert(&mut self, value: T, deadline: u64) -> Key {
        let index = self.place(value);
        self.len += 1;
        self.link(index, deadline);
        Key { index, generation: self.entries[index as usize].generation }
    }

    /// The entry's value.
    pub fn get(&self, key: Key) -> Option<&T> {
        self.entry(key).and_then(|entry| entry.value.as_ref())
    }

    /// The entry's value, to change.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let index = self.entry(key).map(|_| key.index)?;
        self.entries[index as usize].value.as_mut()
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
        let entry = &mut self.entries[key.index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = key.index;
        self.len -= 1;
        entry.value.take()
    }

    /// Goes on to tick `now`, and adds to `due` each entry whose deadline has come, in no order. It stays in the wheel,
    /// unscheduled, until it is scheduled again or removed.
    ///
    /// Ticks that were missed are caught up. Going back changes nothing.
    pub fn advance(&mut self, now: u64, due: &mut Vec<Key>) {
        let missed = now.saturating_sub(self.now);
        // After a jump over the whole wheel, one look at each slot finds everything.
        for tick in now - missed.min(SLOTS as u64)..now {
            self.take_due(slot_of(tick + 1), now, due);
        }
        self.now = self.now.max(now);
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn take_due(&mut self, slot: usize, now: u64, due: &mut Vec<Key>) {
        let mut index = self.slots[slot];
        while index != NIL {
            let entry = &self.entries[index as usize];
            let (next, deadline, generation) = (entry.next, entry.deadline, entry.generation);
            if deadline <= now {
                self.unlink(index);
                due.push(Key { index, generation });
            }
            index = next;
        }
    }

    fn entry(&self, key: Key) -> Option<&Entry<T>> {
        let entry = self.entries.get(key.index as usize)?;
        (entry.generation == key.generation && entry.value.is_some()).then_some(entry)
    }

    /// Stores a value in a free place, or a new one.
    fn place(&mut self, value: T) -> u32 {
        if self.free != NIL {
            let index = self.free;
            let entry = &mut self.entries[index as usize];
            self.free = entry.next;
            entry.value = Some(value);
            return index;
        }
        let index = u32::try_from(self.entries.len()).ok().filter(|index| *index != NIL);
        let entry =
            Entry { value: Some(value), deadline: 0, generation: 0, scheduled: false, previous: NIL, next: NIL };
        self.entries.push(entry);
        index.expect("fewer than four billion entries")
    }

    fn link(&mut self, index: u32, deadline: u64) {
        // The slot of a past deadline would come round too late.
        let deadline = deadline.max(self.now + 1);
        let slot = slot_of(deadline);
        let head = std::mem::replace(&mut self.slots[slot], index);
        if head != NIL {
            self.entries[head as usize].previous = index;
        }
        let entry = &mut self.entries[index as usize];
        (entry.deadline, entry.scheduled) = (deadline, true);
        (entry.previous, entry.next) = (NIL, head);
    }

    fn unlink(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        if !std::mem::take(&mut entry.scheduled) {
            return;
        }
        let (previous, next, slot) = (entry.previous, entry.next, slot_of(entry.deadline));
        match previous {
            NIL => self.slots[slot] = next,
            previous => self.entries[previous as usize].next = next,
        }
        if next != NIL {
            self.entries[next as usize].previous = previous;
        }
    }
}

fn slot_of(tick: u64) -> usize {
    tick as usize % SLOTS
}

#[cfg(test)]
mod tests;
