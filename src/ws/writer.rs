//! What leaves on one connection: frames gathered into as few writes as it takes, and how far the socket has written them.
//!
//! Frames to clients are not masked (RFC 6455, section 5.1), so a payload that goes to many is shared by all of them. No
//! lock, no waker.

use super::send_queue::{Full, QueueLimits, SendQueue};
use std::cell::Cell;
use std::io;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Bytes that are gathered before they are written.
const FLUSH_BYTES: usize = 16 * 1024;
/// Payloads of this size are written from where they are, not copied.
const COPY_MAX: usize = 4 * 1024;
/// An unmasked frame's header at the most.
const MAX_HEADER: usize = 10;

thread_local! {
    static SPARE: Cell<Option<Box<WriteBuffer>>> = const { Cell::new(None) };
    static SPARE_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Messages and control frames on their way to the socket.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    /// A message stays in it until the socket has written its whole frame.
    outbox: SendQueue<Utf8Bytes>,
    /// Bytes of the oldest message's frame that the socket has written. That frame goes on before anything else.
    partial: usize,
    /// Whole control frames, but for what the socket has written. They go before any message that isn't partial.
    control: Vec<u8>,
    /// Words for the close frame, which waits until all else is out.
    pub(crate) detail: Option<Box<str>>,
}

/// What the socket has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    /// Messages that are out with their last byte.
    pub(crate) messages: u64,
    /// Their payloads.
    pub(crate) payload_bytes: u64,
}

impl WriteBuffer {
    /// An empty one, if there is one on this thread the one that was last given back.
    pub(crate) fn acquire() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// Keeps an empty one for the next connection that this thread writes to.
    pub(crate) fn release(self: Box<Self>) {
        debug_assert!(self.is_empty() && self.detail.is_none());
        SPARE.set(Some(self));
    }

    /// Puts a message behind the others.
    pub(crate) fn push(&mut self, text: Utf8Bytes, bounds: &QueueLimits) -> Result<(), Full> {
        self.outbox.push(text, bounds)
    }

    /// Puts whole control frames before the messages.
    pub(crate) fn push_control(&mut self, frames: &[u8]) {
        self.control.extend_from_slice(frames);
    }

    /// The messages.
    pub(crate) fn outbox(&self) -> &SendQueue<Utf8Bytes> {
        &self.outbox
    }

    /// Bytes of control frames.
    pub(crate) fn control_bytes(&self) -> usize {
        self.control.len()
    }

    /// Whether there is nothing left to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.outbox.is_empty() && self.control.is_empty()
    }

    /// Whether there is enough to be worth a write.
    pub(crate) fn should_flush(&self) -> bool {
        self.outbox.bytes() + self.control.len() >= FLUSH_BYTES
    }

    /// Forgets the messages, but for one of which a part is out: what follows would be written for the rest of it.
    /// Returns how many bytes it forgot.
    pub(crate) fn discard_unsent(&mut self) -> u64 {
        let before = self.outbox.bytes();
        self.outbox.truncate(usize::from(self.partial > 0));
        (before - self.outbox.bytes()) as u64
    }

    /// Hands everything to `write`, which takes two pieces and says how many bytes of them it took, until it has all
    /// of it or fails; what it took is counted in `written`.
    pub(crate) fn write(
        &mut self,
        written: &mut Written,
        mut write: impl FnMut(&[u8], &[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut scratch = SPARE_BUFFER.take();
        let mut result = Ok(());
        while result.is_ok() && !self.is_empty() {
            scratch.clear();
            let rest = self.fill(&mut scratch);
            result = match write(&scratch, rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.advance(bytes, written);
                    Ok(())
                }
                Err(error) => Err(error),
            };
        }
        SPARE_BUFFER.set(scratch);
        result
    }

    /// Puts the next bytes into `scratch`, and returns the large payload that follows them.
    fn fill(&self, scratch: &mut Vec<u8>) -> &[u8] {
        let mut partial = self.partial;
        if partial == 0 {
            scratch.extend_from_slice(&self.control);
        }
        for text in self.outbox.iter() {
            let (header, length) = header_bytes(text.len());
            scratch.extend_from_slice(&header[partial.min(length)..length]);
            let payload = &text.as_bytes()[partial.saturating_sub(length)..];
            if payload.len() >= COPY_MAX {
                return payload;
            }
            scratch.extend_from_slice(payload);
            if partial > 0 {
                scratch.extend_from_slice(&self.control);
                partial = 0;
            }
            if scratch.len() >= FLUSH_BYTES {
                break;
            }
        }
        &[]
    }

    /// So many bytes more are out, in the order of [`fill`](Self::fill).
    fn advance(&mut self, mut bytes: usize, written: &mut Written) {
        written.bytes += bytes as u64;
        while bytes > 0 {
            if self.partial == 0 {
                let control = bytes.min(self.control.len());
                self.control.drain(..control);
                bytes -= control;
            }
            let Some(payload) = self.outbox.iter().next().map(|text| text.len()) else { return };
            let frame = text_header().len(payload as u64) + payload;
            let part = bytes.min(frame - self.partial);
            self.partial += part;
            bytes -= part;
            if self.partial == frame {
                self.partial = 0;
                self.outbox.pop();
                written.messages += 1;
                written.payload_bytes += payload as u64;
            }
        }
    }
}

/// The header of an unmasked text frame, and its length (RFC 6455, section 5.2).
fn header_bytes(payload: usize) -> ([u8; MAX_HEADER], usize) {
    let (header, mut bytes) = (text_header(), [0; MAX_HEADER]);
    header.format(payload as u64, &mut &mut bytes[..]).expect("ten bytes hold every unmasked header");
    (bytes, header.len(payload as u64))
}

fn text_header() -> FrameHeader {
    FrameHeader { is_final: true, opcode: OpCode::Data(Data::Text), ..FrameHeader::default() }
}

#[cfg(test)]
mod tests;
