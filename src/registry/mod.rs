//! The registry of all clients: by `conn_id`, by presence key, and a history of closed connections.
//!
//! # Lock order
//!
//! A task may hold several of these locks at once, if it acquires them from the top down:
//!
//! 1. a presence shard ([`Presence`]), while `on_joined` and `on_left` run, so that they are delivered in order;
//! 2. a shard of the topic map, while subscribers are added or removed, so that no topic is removed in between;
//! 3. a topic, while an event is enqueued, so that every subscriber receives its events in order;
//! 4. an [`Outbox`](crate::client::Outbox), while a message is enqueued or written.
//!
//! At most one lock of each kind is held. No other lock is held together with a second one, and none across an `.await`.

mod broadcast;
mod clients;
mod history;
mod presence;
mod tables;

pub use broadcast::{PendingFlush, broadcast, enqueue_all};
pub use clients::{ClientRegistry, HealthSnapshot, Registration};
pub use history::CloseHistory;
pub use presence::{Presence, PresenceSnapshot, Reservation, latest};
pub use tables::{ClientTable, IdMap, ShardedMap};

/// Reads reference counts ahead of cloning or upgrading the handles that they belong to.
///
/// Each clone waits until the client's memory is in the cache. Plain reads don't wait for one another, so the CPU fetches
/// the memory of many clients at once.
pub fn prefetch(reference_counts: impl Iterator<Item = usize>) {
    reference_counts.for_each(|count| _ = std::hint::black_box(count));
}
