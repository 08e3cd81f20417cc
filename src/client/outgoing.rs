//! What leaves on one connection: frames gathered into as few writes as it takes, and how far the socket has taken them.
//!
//! Frames to clients are not masked (RFC 6455, section 5.1), so a payload that goes to many is shared by all of them. No
//! lock, no waker.

use super::outbox::{Bounds, Full, Outbox};
use std::cell::Cell;
use std::io;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Bytes that are gathered before they are written.
const GATHER: usize = 16 * 1024;
/// Payloads of this size are written from where they are, not copied.
const LARGE: usize = 4 * 1024;
/// An unmasked frame's header at the most.
const LONGEST_HEADER: usize = 10;

thread_local! {
    static SPARE: Cell<Option<Box<Outgoing>>> = const { Cell::new(None) };
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Messages and control frames on their way to the socket.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// A message stays in it until the socket has taken its whole frame.
    outbox: Outbox<Utf8Bytes>,
    /// Bytes of the oldest message's frame that the socket has taken. That frame goes on before anything else.
    begun: usize,
    /// Whole control frames, but for what the socket has taken. They go before any message that isn't begun.
    control: Vec<u8>,
    /// Words for the close frame, which waits until all else is out.
    pub(super) note: Option<Box<str>>,
}

/// What the socket has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) bytes: u64,
    /// Messages that are out with their last byte.
    pub(super) messages: u64,
    /// Their payloads.
    pub(super) payload_bytes: u64,
}

impl Outgoing {
    /// An empty one, if there is one on this thread the one that was last given back.
    pub(super) fn spare() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// Keeps an empty one for the next connection that this thread writes to.
    pub(super) fn give_back(self: Box<Self>) {
        debug_assert!(self.is_empty() && self.note.is_none());
        SPARE.set(Some(self));
    }

    /// Puts a message behind the others.
    pub(super) fn push(&mut self, text: Utf8Bytes, bounds: &Bounds) -> Result<(), Full> {
        self.outbox.push(text, bounds)
    }

    /// Puts whole control frames before the messages.
    pub(super) fn push_control(&mut self, frames: &[u8]) {
        self.control.extend_from_slice(frames);
    }

    /// The messages.
    pub(super) fn outbox(&self) -> &Outbox<Utf8Bytes> {
        &self.outbox
    }

    /// Bytes of control frames.
    pub(super) fn control_bytes(&self) -> usize {
        self.control.len()
    }

    /// Whether there is nothing left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.outbox.is_empty() && self.control.is_empty()
    }

    /// Whether there is enough to be worth a write.
    pub(super) fn is_much(&self) -> bool {
        self.outbox.bytes() + self.control.len() >= GATHER
    }

    /// Forgets the messages, but for one of which a part is out: what follows would be taken for the rest of it.
    /// Returns how many bytes it forgot.
    pub(super) fn clear(&mut self) -> u64 {
        let before = self.outbox.bytes();
        self.outbox.truncate(usize::from(self.begun > 0));
        (before - self.outbox.bytes()) as u64
    }

    /// Hands everything to `write`, which takes two pieces and says how many bytes of them it took, until it has all
    /// of it or fails; what it took is counted in `taken`.
    pub(super) fn write(
        &mut self,
        taken: &mut Taken,
        mut write: impl FnMut(&[u8], &[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut scratch = SCRATCH.take();
        let mut result = Ok(());
        while result.is_ok() && !self.is_empty() {
            scratch.clear();
            let rest = self.gather(&mut scratch);
            result = match write(&scratch, rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.advance(bytes, taken);
                    Ok(())
                }
                Err(error) => Err(error),
            };
        }
        SCRATCH.set(scratch);
        result
    }

    /// Puts the next bytes into `scratch`, and returns the large payload that follows them.
    fn gather(&self, scratch: &mut Vec<u8>) -> &[u8] {
        let mut begun = self.begun;
        if begun == 0 {
            scratch.extend_from_slice(&self.control);
        }
        for text in self.outbox.iter() {
            let (header, length) = header_bytes(text.len());
            scratch.extend_from_slice(&header[begun.min(length)..length]);
            let payload = &text.as_bytes()[begun.saturating_sub(length)..];
            if payload.len() >= LARGE {
                return payload;
            }
            scratch.extend_from_slice(payload);
            if begun > 0 {
                scratch.extend_from_slice(&self.control);
                begun = 0;
            }
            if scratch.len() >= GATHER {
                break;
            }
        }
        &[]
    }

    /// So many bytes more are out, in the order of [`gather`](Self::gather).
    fn advance(&mut self, mut bytes: usize, taken: &mut Taken) {
        taken.bytes += bytes as u64;
        while bytes > 0 {
            if self.begun == 0 {
                let control = bytes.min(self.control.len());
                self.control.drain(..control);
                bytes -= control;
            }
            let Some(payload) = self.outbox.iter().next().map(|text| text.len()) else { return };
            let frame = text_header().len(payload as u64) + payload;
            let part = bytes.min(frame - self.begun);
            self.begun += part;
            bytes -= part;
            if self.begun == frame {
                self.begun = 0;
                self.outbox.pop();
                taken.messages += 1;
                taken.payload_bytes += payload as u64;
            }
        }
    }
}

/// The header of an unmasked text frame, and its length (RFC 6455, section 5.2).
fn header_bytes(payload: usize) -> ([u8; LONGEST_HEADER], usize) {
    let (header, mut bytes) = (text_header(), [0; LONGEST_HEADER]);
    header.format(payload as u64, &mut &mut bytes[..]).expect("ten bytes hold every unmasked header");
    (bytes, header.len(payload as u64))
}

fn text_header() -> FrameHeader {
    FrameHeader { is_final: true, opcode: OpCode::Data(Data::Text), ..FrameHeader::default() }
}

#[cfg(test)]
mod tests;
