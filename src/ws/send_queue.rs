//! A queue bounded in messages and in bytes. No lock, no waker, no idea of what it carries.

use std::collections::VecDeque;

/// A queue that is emptied gives its memory back if it has room for more than this many messages.
const MAX_RETAINED_CAPACITY: usize = 64;

/// How much an outbox holds at the most.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Messages.
    pub messages: usize,
    /// Payload bytes of all messages together.
    pub bytes: usize,
}

/// The message that was pushed doesn't fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A first-in, first-out queue of messages.
#[derive(Debug)]
pub struct SendQueue<T> {
    queue: VecDeque<T>,
    bytes: usize,
}

impl<T> Default for SendQueue<T> {
    fn default() -> Self {
        SendQueue { queue: VecDeque::new(), bytes: 0 }
    }
}

impl<T: AsRef<[u8]>> SendQueue<T> {
    /// Queues a message behind the others.
    ///
    /// # Errors
    /// [`Full`] when one more message or its bytes would exceed `bounds`; nothing is queued then.
    pub fn push(&mut self, message: T, bounds: &QueueLimits) -> Result<(), Full> {
        let bytes = message.as_ref().len();
        if !self.has_room(bytes, bounds) {
            return Err(Full);
        }
        self.bytes += bytes;
        self.queue.push_back(message);
        Ok(())
    }

    /// The oldest message.
    pub fn pop(&mut self) -> Option<T> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.as_ref().len();
        self.shrink();
        Some(message)
    }

    fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > MAX_RETAINED_CAPACITY {
            self.queue = VecDeque::new();
        }
    }

    /// Forgets all but the oldest `keep` messages.
    pub fn truncate(&mut self, keep: usize) {
        let forgotten = self.queue.drain(keep.min(self.queue.len())..);
        self.bytes -= forgotten.map(|message| message.as_ref().len()).sum::<usize>();
        self.shrink();
    }

    /// The messages, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter()
    }

    /// Whether a message of so many bytes would be let in.
    pub fn has_room(&self, bytes: usize, bounds: &QueueLimits) -> bool {
        self.queue.len() < bounds.messages && self.bytes + bytes <= bounds.bytes
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Messages queued.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Payload bytes queued.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether more than half of either bound is taken.
    pub fn is_half_full(&self, bounds: &QueueLimits) -> bool {
        self.queue.len() > bounds.messages / 2 || self.bytes > bounds.bytes / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: QueueLimits = QueueLimits { messages: 4, bytes: 10 };

    #[test]
    fn order_is_kept_and_bytes_are_counted() {
        let mut outbox = SendQueue::default();
        for text in ["a", "bb", "ccc"] {
            outbox.push(text, &BOUNDS).unwrap();
        }
        assert_eq!((outbox.queue.len(), outbox.bytes()), (3, 6));
        assert_eq!(outbox.pop(), Some("a"));
        assert_eq!(outbox.pop(), Some("bb"));
        assert_eq!(outbox.pop(), Some("ccc"));
        assert_eq!(outbox.pop(), None);
        assert_eq!((outbox.queue.len(), outbox.bytes()), (0, 0));
    }

    #[test]
    fn either_bound_refuses_and_changes_nothing() {
        let mut outbox = SendQueue::default();
        for _ in 0..4 {
            outbox.push("", &BOUNDS).unwrap();
        }
        assert_eq!(outbox.push("", &BOUNDS), Err(Full));
        outbox.truncate(0);
        outbox.push("0123456789", &BOUNDS).unwrap();
        assert_eq!(outbox.push("x", &BOUNDS), Err(Full));
        assert_eq!((outbox.queue.len(), outbox.bytes()), (1, 10));
        assert!(outbox.is_half_full(&BOUNDS));
    }

    #[test]
    fn an_emptied_queue_gives_its_memory_back() {
        let bounds = QueueLimits { messages: 10_000, bytes: 10_000 };
        let mut outbox = SendQueue::default();
        for _ in 0..10_000 {
            outbox.push("", &bounds).unwrap();
        }
        while outbox.pop().is_some() {}
        assert!(outbox.queue.capacity() <= MAX_RETAINED_CAPACITY);
    }
}
