//! Connections that wait for their peers, in the order in which their waits began. If there are too many, or if room is
//! needed for a new connection, the oldest is dropped.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

/// The pending connections, and the most that there may be.
pub struct PendingConnections {
    queue: Mutex<Queue>,
    max: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    /// The number of the first entry; the others follow.
    first: u64,
    /// `None` for a connection that is no longer pending. The first entry never is.
    entries: VecDeque<Option<Waker>>,
    /// The entries that are pending.
    len: usize,
}

/// A pending connection. Dropping it ends that.
pub struct PendingConnection {
    connections: Arc<PendingConnections>,
    number: u64,
}

impl PendingConnections {
    /// Allows `max` pending connections.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(PendingConnections { queue: Mutex::default(), max: max.into() })
    }

    /// Allows another number of pending connections from now on.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
    }

    /// Adds a connection. If there are too many, drops the oldest.
    pub fn add(self: &Arc<Self>) -> PendingConnection {
        let mut queue = self.queue.lock();
        let number = queue.first + queue.entries.len() as u64;
        queue.entries.push_back(Some(Waker::noop().clone()));
        queue.len += 1;
        let dropped = if queue.len > self.max.load(Relaxed) { queue.remove_oldest() } else { None };
        drop(queue);
        dropped.into_iter().for_each(Waker::wake);
        PendingConnection { connections: self.clone(), number }
    }

    /// Locks the queue while `run` runs.
    #[cfg(feature = "test-hangs")]
    pub fn hold_lock(&self, run: impl FnOnce()) {
        let _queue = self.queue.lock();
        run();
    }

    /// Drops the oldest pending connection. Returns whether there is one.
    pub fn drop_oldest(&self) -> bool {
        let dropped = self.queue.lock().remove_oldest();
        let is_dropped = dropped.is_some();
        dropped.into_iter().for_each(Waker::wake);
        is_dropped
    }
}

impl Queue {
    fn entry(&mut self, number: u64) -> Option<&mut Option<Waker>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)
    }

    fn remove_oldest(&mut self) -> Option<Waker> {
        self.remove(self.first)
    }

    /// Removes an entry, and returns its waker if it was pending.
    fn remove(&mut self, number: u64) -> Option<Waker> {
        let waker = self.entry(number)?.take()?;
        self.len -= 1;
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        Some(waker)
    }
}

impl PendingConnection {
    /// `Ready` when the connection is to be dropped, to make room.
    pub fn poll_dropped(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.connections.queue.lock().entry(self.number) {
            Some(Some(waker)) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl PendingConnection {
    /// Whether the connection is to be dropped, or was.
    pub fn is_dropped(&self) -> bool {
        !matches!(self.connections.queue.lock().entry(self.number), Some(Some(_)))
    }
}

impl Drop for PendingConnection {
    fn drop(&mut self) {
        self.connections.queue.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_dropped(connection: &PendingConnection) -> bool {
        connection.poll_dropped(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn oldest_pending_connection_is_dropped_when_there_are_too_many_or_room_is_needed() {
        let connections = PendingConnections::new(3);
        let mut pending: Vec<_> = (0..3).map(|_| connections.add()).collect();
        assert!(!pending.iter().any(is_dropped));
        // The first request of the second one arrives.
        drop(pending.remove(1));
        pending.push(connections.add());
        assert!(!pending.iter().any(is_dropped), "three are pending");
        pending.push(connections.add());
        assert_eq!(pending.iter().map(is_dropped).collect::<Vec<_>>(), [true, false, false, false]);
        assert!(connections.drop_oldest());
        assert_eq!(pending.iter().map(is_dropped).collect::<Vec<_>>(), [true, true, false, false]);
        drop(pending);
        let queue = connections.queue.lock();
        assert_eq!((queue.len, queue.entries.capacity()), (0, 0));
        drop(queue);
        assert!(!connections.drop_oldest());
    }
}
