//! Reads a client's messages: bytes from the stream, messages from the codec.
//!
//! An idle connection owns no reader. Buffer and codec are cached per thread; a connection keeps its own only while a
//! message is incomplete or unread, while the handler hasn't finished, or once the codec has failed or closed.

use super::frame_tracker::FrameTracker;
use super::stream::Stream;
use crate::runtime::BoxFuture;
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::task::{Context, Poll, ready};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// Bytes of the buffer that the socket is read into.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes that the codec takes from that buffer at a time. A larger size would save no system call.
const CODEC_READ_BYTES: usize = 256;
/// The most reads from one socket in one poll of its session.
const READS_PER_POLL: u32 = 4;
/// A codec keeps the buffer of its largest message, so it is not cached after a message over this size.
const MAX_REUSED_MESSAGE: usize = 16 * 1024;
/// Registered in IANA's WebSocket Close Code Number Registry as "Bad Gateway"; the codec rejects it as an invalid code.
const BAD_GATEWAY: u16 = 1014;
/// Bytes that the codec may write at a time; it writes control frames only.
const CODEC_WRITE_BYTES: usize = 4 * 1024;

thread_local! {
    static CACHED_READER: Cell<Option<Box<MessageReader>>> = const { Cell::new(None) };
    static CACHED_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
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
    /// The codec has read a message over [`MAX_REUSED_MESSAGE`].
    has_large_buffer: bool,
    /// The codec has failed or closed, so it is of no use to another connection.
    finished: bool,
    /// The handler's future for the last message. It finishes before the next message is read.
    pub in_flight: Option<BoxFuture<'static, ()>>,
    input: Input,
}

impl MessageReader {
    /// A reader that has read nothing: this thread's cached one, or a new one.
    pub fn acquire(config: WebSocketConfig) -> Box<Self> {
        if let Some(mut reader) = CACHED_READER.take() {
            // Gateways of different configurations may share the thread.
            reader.codec.set_config(|old| *old = config);
            return reader;
        }
        let codec = WebSocketContext::new(Role::Server, Some(config));
        let input = Input { reads_left: READS_PER_POLL, ..Input::default() };
        Box::new(MessageReader { codec, has_large_buffer: false, finished: false, in_flight: None, input })
    }

    /// A reader whose first bytes, `early`, were received with the opening handshake.
    pub fn with_early(early: &[u8], config: WebSocketConfig) -> Box<Self> {
        let mut reader = Self::acquire(config);
        reader.input.buffer = early.to_vec();
        reader.input.end = early.len();
        reader
    }

    /// Ends a poll of the session. Returns the reader if the connection has to keep it; otherwise it is cached, or
    /// dropped if its codec keeps a large buffer.
    pub fn release(mut self: Box<Self>) -> Option<Box<Self>> {
        self.input.release_buffer();
        self.input.reads_left = READS_PER_POLL;
        if self.finished || self.in_flight.is_some() || !self.input.is_between_messages() {
            return Some(self);
        }
        if !self.has_large_buffer {
            CACHED_READER.set(Some(self));
        }
        None
    }

    /// Polls for the next message. After [`READS_PER_POLL`] reads it wakes the task and returns `Pending`.
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
        match self.codec.read(&mut CodecIo { input: &mut self.input, stream, cx }) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            result => {
                if let Ok(Message::Ping(_)) = result {
                    // Flush the pong now: the codec would send it on its next read, which may be for another
                    // connection. Writing to a Vec can't fail.
                    let _ = self.codec.flush(&mut ReplySink(&mut self.input.replies));
                }
                self.has_large_buffer |= result.as_ref().is_ok_and(|message| message.len() > MAX_REUSED_MESSAGE);
                self.finished |= matches!(result, Err(_) | Ok(Message::Close(_)));
                Poll::Ready(result.map(|message| self.restore_close_code(message)))
            }
        }
    }

    /// The codec treats [`BAD_GATEWAY`] as an invalid code and returns 1002 in its place; this restores it.
    fn restore_close_code(&self, message: Message) -> Message {
        match message {
            Message::Close(Some(_)) if self.input.frames.close_code() == Some(BAD_GATEWAY) => {
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
        if self.input.frames.close_code() == Some(BAD_GATEWAY) {
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
                Ok(_) => self.input.start = self.input.end,
            }
        }
    }
}

/// The bytes between the socket and the codec.
#[derive(Default)]
struct Input {
    /// This thread's read buffer during a poll of the session. Between polls it holds only unread bytes, usually none.
    buffer: Vec<u8>,
    /// The unread bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Reads left in this poll of the session.
    reads_left: u32,
    /// Bytes read from the socket that were not counted yet.
    bytes: u64,
    /// The codec's position in the byte stream.
    frames: FrameTracker,
    /// Control frames that the codec has written.
    replies: Vec<u8>,
}

impl Input {
    /// Whether no bytes are unread.
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether no bytes are unread, those given to the codec end with a complete message, and the codec's replies were
    /// taken. Once the codec has also returned that message, it holds nothing of this connection.
    fn is_between_messages(&self) -> bool {
        self.frames.is_between_messages() && self.is_empty() && self.replies.is_empty()
    }

    /// Returns the read buffer to this thread's cache; unread bytes move to a buffer of their own.
    fn release_buffer(&mut self) {
        if self.buffer.len() != READ_BUFFER_BYTES && !self.is_empty() {
            // They are in a buffer of their own already.
            return;
        }
        let unread = self.buffer[self.start..self.end].to_vec();
        let buffer = std::mem::replace(&mut self.buffer, unread);
        (self.start, self.end) = (0, self.buffer.len());
        if buffer.len() == READ_BUFFER_BYTES {
            CACHED_BUFFER.set(buffer);
        }
    }

    /// Reads once; 0 bytes are the end of the stream.
    ///
    /// With no reads left, wakes the task and returns `Pending`, so that other tasks run even if a peer sends without
    /// pause and never completes a message.
    fn poll_fill(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<usize>> {
        if self.reads_left == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.reads_left -= 1;
        if self.buffer.len() < READ_BUFFER_BYTES {
            self.buffer = CACHED_BUFFER.take();
            self.buffer.resize(READ_BUFFER_BYTES, 0);
        }
        (self.start, self.end) = (0, 0);
        let expects_more = !self.frames.is_between_messages();
        self.end = ready!(stream.poll_read_once(cx, &mut self.buffer, expects_more))?;
        self.bytes += self.end as u64;
        Poll::Ready(Ok(self.end))
    }
}

/// The stream as the codec's blocking interface: reads fail with `WouldBlock` while the stream is pending, and writes
/// go to the replies.
struct CodecIo<'a, 'b> {
    input: &'a mut Input,
    stream: &'a Stream,
    cx: &'a mut Context<'b>,
}

impl Read for CodecIo<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let input = &mut *self.input;
        if input.is_empty() {
            match input.poll_fill(self.cx, self.stream) {
                Poll::Ready(filled) => drop(filled?),
                Poll::Pending => return Err(ErrorKind::WouldBlock.into()),
            }
        }
        let n = buffer.len().min(input.end - input.start);
        let n = input.frames.advance(&input.buffer[input.start..input.start + n]);
        buffer[..n].copy_from_slice(&input.buffer[input.start..input.start + n]);
        input.start += n;
        Ok(n)
    }
}

impl Write for CodecIo<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input.replies.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The replies as a stream that the codec can only write to.
struct ReplySink<'a>(&'a mut Vec<u8>);

impl Read for ReplySink<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for ReplySink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
