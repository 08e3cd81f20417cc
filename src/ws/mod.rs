//! RFC 6455 on a socket: reads messages, writes frames. Knows no client.

mod frame_splitter;
mod frame_tracker;
mod input;
mod message;
mod reader;
mod stream;
mod writer;

pub use message::Message;
pub use reader::{MessageReader, codec_config};
pub use stream::Stream;
pub use writer::{CloseDetail, WriteBuffer, Written, queued_size};
