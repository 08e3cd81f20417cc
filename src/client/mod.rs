//! One client as others see it: identity, outbox, health, close reason.
//!
//! Knows nothing of HTTP, of the heartbeat's timers, or of the content of messages.

mod activity;
mod close_reason;
mod close_record;
mod handle;
mod handler;
mod health;
mod outbox;
mod stats;

pub use crate::network::RemoteAddr;
pub use crate::ws::{CloseDetail, Message};
pub use close_reason::CloseReason;
pub use close_record::{CloseRecord, ClosedBy};
pub use handle::{ConnId, GatewayClient};
pub use handler::Handler;
pub use health::Health;
pub(crate) use outbox::Outgoing;
pub use outbox::{Outbox, OutboxContext, OutboxSnapshot, SendError};
pub(crate) use outbox::{ReadState, Signals};
pub use stats::SessionStats;
