//! Reads a client's messages: bytes from the stream, messages from the codec.
//!
//! An idle connection owns no reader. Buffer and codec are cached per thread; a connection keeps its own only while a
//! message is incomplete or unread, while the handler hasn't finished, or once the codec has failed or closed.

use super::input::{CodecIo, Input, ReplySink};
use super::stream::Stream;
use crate::runtime::BoxFuture;
use std::cell::Cell;
use std::io::ErrorKind;
use std::task::{Context, Poll, ready};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// Bytes that the codec takes from that buffer at a time. A larger size would save no system call.
const CODEC_READ_BYTES: usize = 256;
/// Registered in IANA's WebSocket Close Code Number Registry as "Bad Gateway"; the codec rejects it as an invalid code.
const BAD_GATEWAY: u16 = 1014;
/// Bytes that the codec may write at a time; it writes control frames only.
const CODEC_WRITE_BYTES: usize = 4 * 1024;

thread_local! {
    static CACHED_READER: Cell<Option<Box<MessageReader>>> = const { Cell::new(None) };
}

/// The codec's settings for messages of up to `max_message_bytes` bytes.
pub fn codec_config(max_message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(CODEC_READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(CODEC_WRITE_BYTES)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes))
}

/// Reads the messages of one connection during a poll of its session, and longer while a message is incomplete or being
/// handled.
pub struct MessageReader {
    codec: WebSocketContext,
    /// The codec has failed or closed, so it is of no use to another connection.
    finished: bool,
    /// The handler's future for the last message. It finishes before the next message is read.
    pub in_flight: Option<BoxFuture<'static, ()>>,
    /// Bytes of that message.
    pub in_flight_bytes: usize,
    input: Input,
}

impl MessageReader {
    /// A reader that has read nothing: this thread's cached one, or a new one.
    pub fn acquire(config: WebSocketConfig) -> Box<Self> {
        if let Some(mut reader) = CACHED_READER.take() {
            // Gateways of different configurations may share the thread.
            reader.codec.set_config(|old| *old = config);
            reader.set_max_held(u64::MAX);
            return reader;
        }
        let codec = WebSocketContext::new(Role::Server, Some(config));
        Box::new(MessageReader { codec, finished: false, in_flight: None, in_flight_bytes: 0, input: Input::default() })
    }

    /// A reader whose first bytes, `early`, were received with the opening handshake.
    pub fn with_early(early: &[u8], config: WebSocketConfig) -> Box<Self> {
        let mut reader = Self::acquire(config);
        reader.input = Input::with_early(early);
        reader
    }

    /// Ends a poll of the session. Returns the reader if the connection has to keep it; otherwise it is cached.
    pub fn release(mut self: Box<Self>) -> Option<Box<Self>> {
        self.input.release_buffer();
        if self.finished || self.in_flight.is_some() || !self.input.is_between_messages() {
            return Some(self);
        }
        CACHED_READER.set(Some(self));
        None
    }

    /// Polls for the next message. Bytes and frames are charged to the task's coop budget; once that is spent, wakes the
    /// task and returns `Pending`.
    pub fn poll_message(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<Result<Message, Error>> {
        // Fast path: usually nothing more has arrived, and a read of the socket finds that out faster than the codec
        // does. A finished codec is always asked: only it knows whether it still expects the peer's close frame.
        if self.input.is_empty() && !self.finished {
            let end = match ready!(self.input.poll_fill(cx, stream)) {
                Ok(0) => Some(ProtocolError::ResetWithoutClosingHandshake.into()),
                Ok(_) => None,
                Err(error) => Some(error.into()),
            };
            if let Some(error) = end {
                self.finished = true;
                return Poll::Ready(Err(error));
            }
        }
        let max_payload = self.codec.get_config().max_frame_size.unwrap_or(usize::MAX);
        match self.codec.read(&mut CodecIo { input: &mut self.input, max_payload, stream, cx }) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            result => {
                if let Ok(Message::Ping(_)) = result {
                    // Flush the pong now: the codec would send it on its next read, which may be for another
                    // connection. Writing to a Vec can't fail.
                    let _ = self.codec.flush(&mut ReplySink(&mut self.input.replies));
                }
                self.finished |= matches!(result, Err(_) | Ok(Message::Close(_)));
                Poll::Ready(result.map(|message| self.restore_close_code(message)))
            }
        }
    }

    /// The codec treats [`BAD_GATEWAY`] as an invalid code and returns 1002 in its place; this restores it.
    fn restore_close_code(&self, message: Message) -> Message {
        match message {
            Message::Close(Some(_)) if self.input.close_code() == Some(BAD_GATEWAY) => {
                Message::Close(Some(CloseFrame { code: BAD_GATEWAY.into(), reason: Utf8Bytes::default() }))
            }
            message => message,
        }
    }

    /// Writes our close frame, `frame`, to [`replies`](Self::replies), also if the peer has closed already: the codec
    /// would then write the peer's code in its place.
    pub fn close(&mut self, frame: CloseFrame) {
        self.finished = true;
        // Tells the codec that we have closed, so that it answers no more pings. Its own close frame isn't sent.
        let _ = self.codec.close(&mut ReplySink(&mut Vec::new()), None);
        Frame::close(Some(frame)).format(&mut self.input.replies).expect("writing to a Vec can't fail");
    }

    /// Writes our answer to the peer's close frame, with its code, to [`replies`](Self::replies).
    pub fn answer_close(&mut self) {
        if self.input.close_code() == Some(BAD_GATEWAY) {
            self.close(CloseFrame { code: BAD_GATEWAY.into(), reason: Utf8Bytes::default() });
        } else {
            // Sends the codec's answer; it has no other use for the frame given here. Writing to a Vec can't fail.
            let _ = self.codec.close(&mut ReplySink(&mut self.input.replies), None);
        }
    }

    /// The control frames that the codec has written: pongs and close frames.
    pub fn replies(&mut self) -> &mut Vec<u8> {
        &mut self.input.replies
    }

    /// Takes the number of bytes read from the socket since the last call.
    pub fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.input.bytes)
    }

    /// Sets how many bytes may be held before [`poll_message`](Self::poll_message) reads no more, and wakes the task.
    pub fn set_max_held(&mut self, bytes: u64) {
        self.input.max_held = bytes;
    }

    /// Bytes that this reader holds of what the peer has sent: unread ones, and those of a message that is unfinished or
    /// being handled.
    pub fn held_bytes(&self) -> usize {
        self.input.held_bytes() + if self.in_flight.is_some() { self.in_flight_bytes } else { 0 }
    }

    /// Reads and drops messages until the peer's close frame or the end of the stream. Returns whether the close frame
    /// was received.
    pub fn poll_close(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<bool> {
        loop {
            match ready!(self.poll_message(cx, stream)) {
                Ok(Message::Close(_)) => return Poll::Ready(true),
                Ok(_) => {}
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Reads and drops bytes until the end of the stream.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<()> {
        loop {
            match ready!(self.input.poll_fill(cx, stream)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => self.input.discard(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
