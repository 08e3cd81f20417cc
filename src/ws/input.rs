//! What was received from a client and isn't decoded yet, as the codec reads it.

use super::frame_splitter::FrameSplitter;
use super::stream::Stream;
use crate::budget;
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::task::{Context, Poll, ready};

/// Bytes of the buffer that the socket is read into. A larger one makes reading of large messages no faster.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes that cost a unit of the task's coop budget. One read of a whole buffer takes it all.
const BYTES_PER_UNIT: usize = 128;
/// Frames of an unfinished message that cost a unit: they take the codec about as long as one write to a socket.
const FRAMES_PER_UNIT: u32 = 32;

thread_local! {
    static CACHED_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The bytes between the socket and the codec.
pub struct Input {
    /// This thread's read buffer during a poll of the session. Between polls it holds only unread bytes, usually none.
    buffer: Vec<u8>,
    /// The unread bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Frames read that didn't finish a message, and were not charged yet.
    uncharged_frames: u32,
    /// While more bytes than this are held, nothing is read.
    pub max_held: u64,
    /// Bytes read from the socket that were not counted yet.
    pub bytes: u64,
    /// Splits large frames, and knows the codec's position in the byte stream.
    splitter: FrameSplitter,
    /// Control frames that the codec has written.
    pub replies: Vec<u8>,
}

impl Default for Input {
    fn default() -> Self {
        Input {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            uncharged_frames: 0,
            max_held: u64::MAX,
            bytes: 0,
            splitter: FrameSplitter::default(),
            replies: Vec::new(),
        }
    }
}

impl Input {
    /// An input whose first bytes are `early`.
    pub fn with_early(early: &[u8]) -> Self {
        Input { buffer: early.to_vec(), end: early.len(), ..Input::default() }
    }

    /// Whether nothing is left to give to the codec.
    pub fn is_empty(&self) -> bool {
        self.start == self.end && !self.splitter.has_header()
    }

    /// The code of the close frame that was read last.
    pub fn close_code(&self) -> Option<u16> {
        self.splitter.frames.close_code()
    }

    /// Unread bytes, and those of an unfinished message in the codec, whose buffer grows by doubling.
    pub fn held_bytes(&self) -> usize {
        let message_bytes = match self.splitter.frames.message_bytes() {
            0 => 0,
            bytes => bytes.next_power_of_two(),
        };
        self.end - self.start + message_bytes
    }

    /// Drops all unread bytes.
    pub fn discard(&mut self) {
        self.start = self.end;
    }

    /// Whether no bytes are unread, those given to the codec end with a complete message, and the codec's replies were
    /// taken. Once the codec has also returned that message, it holds nothing of this connection.
    pub fn is_between_messages(&self) -> bool {
        self.splitter.frames.is_between_messages() && self.is_empty() && self.replies.is_empty()
    }

    /// Returns the read buffer to this thread's cache; unread bytes move to a buffer of their own.
    pub fn release_buffer(&mut self) {
        if self.buffer.len() != READ_BUFFER_BYTES && self.start < self.end {
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

    /// Reads once; 0 bytes are the end of the stream. Without budget, or if too much is held, wakes the task and returns
    /// `Pending`, so that other tasks run even if a peer sends without pause and never completes a message.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<usize>> {
        ready!(poll_budget(cx));
        if self.max_held < u64::MAX && self.held_bytes() as u64 > self.max_held {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.buffer.len() < READ_BUFFER_BYTES {
            self.buffer = CACHED_BUFFER.take();
            self.buffer.resize(READ_BUFFER_BYTES, 0);
        }
        (self.start, self.end) = (0, 0);
        let expects_more = !self.splitter.frames.is_between_messages();
        self.end = ready!(stream.poll_read_once(cx, &mut self.buffer, expects_more))?;
        self.bytes += self.end as u64;
        budget::charge_units(self.end / BYTES_PER_UNIT);
        Poll::Ready(Ok(self.end))
    }

    /// Moves up to one frame's bytes to the codec. Returns the number of bytes that it gets.
    fn copy_to(&mut self, buffer: &mut [u8], max_payload: usize) -> usize {
        let (taken, given) = self.splitter.copy(&self.buffer[self.start..self.end], buffer, max_payload);
        self.start += taken;
        if given > 0 && self.splitter.frames.is_between_fragments() {
            self.uncharged_frames += 1;
            if self.uncharged_frames == FRAMES_PER_UNIT {
                self.uncharged_frames = 0;
                budget::charge_units(1);
            }
        }
        given
    }
}

/// `Ready` while the current task has budget left; otherwise wakes it.
fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    if budget::is_spent() {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// The stream as the codec's blocking interface: reads fail with `WouldBlock` while the stream is pending, and writes
/// go to the replies.
pub struct CodecIo<'a, 'b> {
    pub input: &'a mut Input,
    /// The largest payload that the codec accepts.
    pub max_payload: usize,
    pub stream: &'a Stream,
    pub cx: &'a mut Context<'b>,
}

impl Read for CodecIo<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = &mut *self.input;
            let filled = if input.is_empty() {
                input.poll_fill(self.cx, self.stream).map_ok(|n| n == 0)
            } else {
                poll_budget(self.cx).map(|()| Ok(false))
            };
            match filled {
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Ok(true)) => return Ok(0),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Err(ErrorKind::WouldBlock.into()),
            }
            // Nothing is given while a header is incomplete.
            match input.copy_to(buffer, self.max_payload) {
                0 => {}
                given => return Ok(given),
            }
        }
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
pub struct ReplySink<'a>(pub &'a mut Vec<u8>);

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
