//! What comes in on one connection: bytes from the stream, messages out of the codec.
//!
//! A waiting connection owns none of it. The buffer that is read into and the codec are kept for each thread; a
//! connection holds on to a codec only in the middle of a message, in its bytes or in what its handler has left to do.

use super::frame_tracker::FrameTracker;
use super::stream::Stream;
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Bytes that one read takes from the socket at the most.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes that the codec takes at once; more cost no fewer system calls, because they are in the scratch.
const CODEC_READ_BYTES: usize = 256;
/// Reads from one socket before other tasks have their turn.
const READS_PER_POLL: u32 = 4;
/// A codec that has seen a larger message keeps its buffer, so nobody keeps the codec.
const MAX_REUSED_MESSAGE: usize = 16 * 1024;
/// What the codec may write at once: control frames only.
const CODEC_WRITES: usize = 4 * 1024;

thread_local! {
    static SPARE: Cell<Option<Box<MessageReader>>> = const { Cell::new(None) };
    static SPARE_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The codec's settings, for messages of up to so many bytes.
pub(crate) fn codec_config(max_message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(CODEC_READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(CODEC_WRITES)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes))
}

/// The handling of a message that has not finished.
pub(crate) type InFlight = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection's reading, while there is something to read.
pub(crate) struct MessageReader {
    codec: WebSocketContext,
    /// A large message has left large buffers in the codec.
    has_large_buffer: bool,
    /// The codec has failed or closed: it is of no use to another connection.
    finished: bool,
    /// What has to finish before the next message is read: the handling of the last one.
    pub(crate) in_flight: Option<InFlight>,
    input: Input,
}

impl MessageReader {
    /// One that has read nothing yet, of this thread's if there is one.
    pub(crate) fn acquire(config: WebSocketConfig) -> Box<Self> {
        if let Some(mut spare) = SPARE.take() {
            // Of another gateway in this process, perhaps.
            spare.codec.set_config(|old| *old = config);
            return spare;
        }
        let codec = WebSocketContext::new(Role::Server, Some(config));
        let input = Input { reads: READS_PER_POLL, ..Input::default() };
        Box::new(MessageReader { codec, has_large_buffer: false, finished: false, in_flight: None, input })
    }

    /// One whose first bytes were read with the opening handshake.
    pub(crate) fn with_early(early: &[u8], config: WebSocketConfig) -> Box<Self> {
        let mut reader = Self::acquire(config);
        reader.input.read = early.to_vec();
        reader.input.to = early.len();
        reader
    }

    /// The session's turn is over. The connection keeps this only with something unfinished in it.
    pub(crate) fn release(mut self: Box<Self>) -> Option<Box<Self>> {
        self.input.release_buffer();
        self.input.reads = READS_PER_POLL;
        if self.finished || self.in_flight.is_some() || !self.input.is_between_messages() {
            return Some(self);
        }
        if !self.has_large_buffer {
            SPARE.set(Some(self));
        }
        None
    }

    /// The next message. `Pending` also when others are to have their turn, with the waker called.
    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<Result<Message, Error>> {
        // Mostly there is nothing more: the codec, which takes long to find that out, isn't asked then. One that has failed
        // or closed has its answer without.
        if self.input.from == self.input.to && !self.finished {
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
                    // The codec would keep its answer until it reads again, for whoever has it then. Nothing of this fails:
                    // what it writes is taken.
                    let _ = self.codec.flush(&mut ReplySink(&mut self.input.replies));
                }
                self.has_large_buffer |= result.as_ref().is_ok_and(|message| message.len() > MAX_REUSED_MESSAGE);
                self.finished |= result.is_err();
                Poll::Ready(result)
            }
        }
    }

    /// Our close frame, or our answer to the peer's.
    pub(crate) fn close(&mut self, frame: Option<CloseFrame>) {
        self.finished = true;
        // What it writes is taken in any case; it says that the connection is closed if the peer has closed first.
        let _ = self.codec.close(&mut ReplySink(&mut self.input.replies), frame);
    }

    /// Control frames that the codec answers with.
    pub(crate) fn replies(&mut self) -> &mut Vec<u8> {
        &mut self.input.replies
    }

    /// Bytes read from the socket since this was last asked.
    pub(crate) fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.input.bytes)
    }

    /// Reads what still comes only to forget it, until the peer's close frame, or without one the end: whether it came.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<bool> {
        loop {
            match ready!(self.poll_message(cx, stream)) {
                Ok(Message::Close(_)) => return Poll::Ready(true),
                Ok(_) => {}
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Reads what still comes only to forget it, until the peer ends its direction.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<()> {
        loop {
            match ready!(self.input.poll_fill(cx, stream)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }
}

/// What was read and not handed to the codec, and what the codec wrote.
#[derive(Default)]
struct Input {
    /// The thread's scratch while the session has its turn. Outside it only what was read and not used, which is rare.
    read: Vec<u8>,
    from: usize,
    to: usize,
    /// Reads left in this turn.
    reads: u32,
    bytes: u64,
    /// How far the codec is.
    frames: FrameTracker,
    replies: Vec<u8>,
}

impl Input {
    /// Whether the codec has had whole messages only, and what it wrote is taken: once it has returned them, it holds
    /// nothing unread and nothing unsent.
    fn is_between_messages(&self) -> bool {
        self.frames.is_between_messages() && self.from == self.to && self.replies.is_empty()
    }

    /// Gives the thread's scratch back; what is left in it is kept apart.
    fn release_buffer(&mut self) {
        if self.read.len() != READ_BUFFER_BYTES && self.from < self.to {
            // Kept apart already.
            return;
        }
        let unused = self.read[self.from..self.to].to_vec();
        let read = std::mem::replace(&mut self.read, unused);
        (self.from, self.to) = (0, self.read.len());
        if read.len() == READ_BUFFER_BYTES {
            SPARE_BUFFER.set(read);
        }
    }

    /// Reads once; 0 bytes are the end of the stream.
    ///
    /// A peer that sends without end has its next turn behind the other tasks', also if what it sends makes no
    /// messages.
    fn poll_fill(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<usize>> {
        if self.reads == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.reads -= 1;
        if self.read.len() < READ_BUFFER_BYTES {
            self.read = SPARE_BUFFER.take();
            self.read.resize(READ_BUFFER_BYTES, 0);
        }
        (self.from, self.to) = (0, 0);
        self.to = ready!(stream.poll_read_once(cx, &mut self.read))?;
        self.bytes += self.to as u64;
        Poll::Ready(Ok(self.to))
    }
}

/// The stream as a blocking codec sees it: `WouldBlock` where it is pending. What the codec writes is only gathered.
struct CodecIo<'a, 'b> {
    input: &'a mut Input,
    stream: &'a Stream,
    cx: &'a mut Context<'b>,
}

impl Read for CodecIo<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let input = &mut *self.input;
        if input.from == input.to {
            match input.poll_fill(self.cx, self.stream) {
                Poll::Ready(filled) => drop(filled?),
                Poll::Pending => return Err(ErrorKind::WouldBlock.into()),
            }
        }
        let n = buffer.len().min(input.to - input.from);
        let n = input.frames.advance(&input.read[input.from..input.from + n]);
        buffer[..n].copy_from_slice(&input.read[input.from..input.from + n]);
        input.from += n;
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

/// A stream that is written to only.
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
