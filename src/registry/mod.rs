//! All clients: by `conn_id`, by presence key, and the connections that ended last.

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
