//! The registry of all clients: by `conn_id`, by presence key, and a history of closed connections.
//!
//! # Lock order
//!
//! A thread may hold several of these locks at once, at most one of each kind, if it acquires them in this order:
//!
//! 1. a presence shard ([`Presence`]), while `on_joined` and `on_left` run, so that they are delivered in order;
//! 2. the state of [`health`](crate::rpc::pubsub::health) events, so that the counts are published in order;
//! 3. a shard of the map of [`topics`](crate::rpc::pubsub::topics), while subscribers are added or removed, so that no
//!    topic in use is removed;
//! 4. a topic, while an event is enqueued, so that every subscriber receives the events in order;
//! 5. an [`Outbox`](crate::client::Outbox), while a message is enqueued or written.
//!
//! None of them is acquired under any other lock (the registry's shards, the timer wheel, the tables of calls), and no
//! lock is held across an `.await`.

mod broadcast;
mod clients;
mod history;
mod presence;
mod tables;

pub use broadcast::{PendingFlush, enqueue_all};
pub use clients::{ClientRegistry, HealthSnapshot, Registration};
pub use history::CloseHistory;
pub use presence::{Presence, PresenceSnapshot, Reservation, Unavailable, latest};
pub use tables::{ClientTable, IdMap, IsEmpty, ShardedMap};

/// Reads reference counts ahead of cloning or upgrading the handles that they belong to.
///
/// Each clone waits until the client's memory is in the cache. Plain reads don't wait for one another, so the CPU
/// fetches the memory of many clients at once.
pub fn prefetch(reference_counts: impl Iterator<Item = usize>) {
    reference_counts.for_each(|count| _ = std::hint::black_box(count));
}
