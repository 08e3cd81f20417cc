//! RFC 6455 on a socket: messages in, frames out. Knows no client.

mod frame_tracker;
mod message;
mod reader;
mod send_queue;
mod stream;
mod writer;

pub use message::Message;
pub(crate) use reader::{MessageReader, codec_config};
pub use send_queue::{QueueLimits, SendQueue};
pub use stream::Stream;
pub(crate) use writer::{WriteBuffer, Written};
