//! The frames that wait for one connection's socket, and how much of them it has accepted.
//!
//! Frames to clients are not masked (RFC 6455, section 5.1), so clients that get the same message share its payload.
//! Has no lock and no waker, and knows no socket.

use super::message::Message;
use crate::budget;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Bytes that make a write worthwhile: output is batched until it has this size, and one write has about this size,
/// plus a part of at most one long payload.
const FLUSH_BYTES: usize = 16 * 1024;
/// Payloads shorter than this are copied behind their header; the others are written without a copy.
const COPY_LIMIT: usize = 4 * 1024;
/// The most bytes of a long payload in one write, which the kernel takes in about 30 µs.
const MAX_PAYLOAD_PER_WRITE: usize = 64 * 1024;
/// Bytes that cost a unit of the task's coop budget. One write of a whole long payload's part takes it all.
const BYTES_PER_UNIT: usize = 512;
/// The longest header of an unmasked frame.
const MAX_HEADER: usize = 10;
/// A buffer with capacity for more messages than this gives the memory back when it is empty.
const MAX_RETAINED_CAPACITY: usize = 64;

thread_local! {
    static CACHED_BUFFER: Cell<Option<Box<WriteBuffer>>> = const { Cell::new(None) };
    static CACHED_SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes that each queued message counts in addition to its payload: about what its slot in the queue and its
/// allocation take.
pub const MESSAGE_OVERHEAD: usize = 64;

/// Why the connection is closing, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseDetail {
    /// Who requested the close, such as an operator's presence key; `None` for the gateway itself.
    pub requested_by: Option<Arc<str>>,
    /// The text for the close frame; may be empty.
    pub text: Box<str>,
}

/// Messages and control frames that the socket has not accepted yet.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    /// The messages, the oldest first. A message stays until the socket has accepted its whole frame.
    messages: VecDeque<Queued>,
    bytes: QueuedBytes,
    /// What the counters of all buffers have of this one. Brought up to date after a write, so that a message that is
    /// written at once is never counted.
    pub counted: QueuedBytes,
    /// Bytes of the oldest message's frame that the socket has accepted. The remainder is written ahead of all else.
    partial: usize,
    /// Control frames, without the bytes that the socket has accepted. They are written ahead of all messages, except
    /// the remainder of a partly written one.
    control: Vec<u8>,
    /// Kept here, since an idle client, which has no buffer, needs no memory for it.
    pub close_detail: Option<Box<CloseDetail>>,
}

/// The bytes of queued messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuedBytes {
    /// Each message with its payload and [`MESSAGE_OVERHEAD`].
    pub all: usize,
    /// The same without the payloads that are shared with other buffers.
    pub own: usize,
}

#[derive(Debug)]
struct Queued {
    message: Message,
    /// Other buffers hold the payload too.
    is_shared: bool,
}

impl Queued {
    fn own_bytes(&self) -> usize {
        if self.is_shared { MESSAGE_OVERHEAD } else { queued_size(self.message.payload().len()) }
    }
}

/// What the socket has accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes, frame headers included.
    pub bytes: u64,
    /// Messages whose last byte was accepted.
    pub messages: u64,
}

impl WriteBuffer {
    /// An empty buffer: this thread's cached one, or a new one.
    pub fn acquire() -> Box<Self> {
        CACHED_BUFFER.take().unwrap_or_default()
    }

    /// Caches an empty buffer for the next connection that this thread writes to.
    pub fn release(mut self: Box<Self>) {
        debug_assert!(self.is_empty() && self.close_detail.is_none() && self.counted == QueuedBytes::default());
        self.shrink();
        CACHED_BUFFER.set(Some(self));
    }

    /// Queues a message, whose payload may be shared with other buffers. The caller has checked that there is room.
    pub fn push(&mut self, message: Message, is_shared: bool) {
        let queued = Queued { message, is_shared };
        self.bytes.all += queued_size(queued.message.payload().len());
        self.bytes.own += queued.own_bytes();
        self.messages.push_back(queued);
    }

    /// Queues whole control frames, ahead of the messages.
    pub fn push_control(&mut self, frames: &[u8]) {
        self.control.extend_from_slice(frames);
    }

    /// Whether there is no longer room for a message of half of `max_bytes`.
    pub fn is_half_full(&self, max_bytes: usize) -> bool {
        self.bytes.all + MESSAGE_OVERHEAD > max_bytes / 2
    }

    /// Number of messages.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// The bytes of the messages.
    pub fn bytes(&self) -> QueuedBytes {
        self.bytes
    }

    /// Bytes of control frames.
    pub fn control_bytes(&self) -> usize {
        self.control.len()
    }

    /// Whether nothing is left to write.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.control.is_empty()
    }

    /// Whether the frames are worth a write of their own.
    pub fn should_flush(&self) -> bool {
        self.bytes.all - self.messages.len() * MESSAGE_OVERHEAD + self.control.len() >= FLUSH_BYTES
    }

    /// Drops all messages except a partial one, whose frame has to be completed.
    pub fn discard_unsent(&mut self) {
        self.messages.truncate(usize::from(self.partial > 0));
        self.bytes = self.messages.front().map_or(QueuedBytes::default(), |queued| QueuedBytes {
            all: queued_size(queued.message.payload().len()),
            own: queued.own_bytes(),
        });
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.messages.is_empty() && self.messages.capacity() > MAX_RETAINED_CAPACITY {
            self.messages = VecDeque::new();
        }
    }

    /// Calls `write` until it has accepted everything or fails, the task's coop budget is spent, or a whole part of a
    /// long payload is written; at least once if there is something to write. Adds what it accepted to `written`.
    ///
    /// `write` gets two consecutive slices and returns how many bytes of them it has accepted.
    pub fn write(
        &mut self,
        written: &mut Written,
        mut write: impl FnMut(&[u8], &[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut scratch = CACHED_SCRATCH.take();
        let mut result = Ok(());
        while result.is_ok() && !self.is_empty() {
            scratch.clear();
            let payload = self.fill(&mut scratch);
            result = match write(&scratch, payload) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.advance(bytes, written);
                    if bytes >= BYTES_PER_UNIT && !charge(bytes) {
                        break;
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            };
        }
        CACHED_SCRATCH.set(scratch);
        result
    }

    /// Copies the next bytes to write into `scratch`. Returns the part of a long payload that follows them, or an empty
    /// slice.
    fn fill(&self, scratch: &mut Vec<u8>) -> &[u8] {
        let mut partial = self.partial;
        if partial == 0 && !self.control.is_empty() {
            scratch.extend_from_slice(&self.control);
        }
        for Queued { message, .. } in &self.messages {
            let (header, length) = encode_header(message);
            scratch.extend_from_slice(&header[partial.min(length)..length]);
            let payload = &message.payload()[partial.saturating_sub(length)..];
            if payload.len() >= COPY_LIMIT {
                return &payload[..payload.len().min(MAX_PAYLOAD_PER_WRITE)];
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

    /// Removes `bytes` that were accepted, in the order of [`fill`](Self::fill).
    fn advance(&mut self, mut bytes: usize, written: &mut Written) {
        written.bytes += bytes as u64;
        while bytes > 0 {
            if self.partial == 0 && !self.control.is_empty() {
                let control = bytes.min(self.control.len());
                self.control.drain(..control);
                bytes -= control;
            }
            let Some(queued) = self.messages.front() else { return };
            let (payload, own_bytes) = (queued.message.payload().len(), queued.own_bytes());
            let frame = header_length(payload) + payload;
            let n = bytes.min(frame - self.partial);
            self.partial += n;
            bytes -= n;
            if self.partial == frame {
                self.partial = 0;
                self.messages.pop_front();
                self.bytes.all -= queued_size(payload);
                self.bytes.own -= own_bytes;
                written.messages += 1;
            }
        }
    }
}

/// Charges the current task for a write. Returns whether to write on: not without budget, nor after a whole part of a
/// long payload, which counts where there is no budget. Not inlined, since short writes, which are by far the most,
/// don't call it.
#[inline(never)]
fn charge(bytes: usize) -> bool {
    budget::charge_units(bytes / BYTES_PER_UNIT);
    bytes < MAX_PAYLOAD_PER_WRITE && !budget::is_spent()
}

/// The bytes that a queued message with this payload counts.
pub fn queued_size(payload: usize) -> usize {
    payload + MESSAGE_OVERHEAD
}

/// The length of an unmasked frame's header (RFC 6455, section 5.2).
fn header_length(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => MAX_HEADER,
    }
}

/// The header of a message's unmasked, final frame in an array, and its length (RFC 6455, section 5.2). The codec's own
/// encoder takes three times as many instructions.
fn encode_header(message: &Message) -> ([u8; MAX_HEADER], usize) {
    let first = match message {
        Message::Text(_) => 0x81,
        Message::Binary(_) => 0x82,
    };
    let (payload, mut header) = (message.payload().len(), [0; MAX_HEADER]);
    header[0] = first;
    let length = header_length(payload);
    match length {
        2 => header[1] = payload as u8,
        4 => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(payload as u64).to_be_bytes());
        }
    }
    (header, length)
}

#[cfg(test)]
impl WriteBuffer {
    /// The queued messages, the oldest first.
    pub fn queued(&self) -> Vec<Message> {
        self.messages.iter().map(|queued| queued.message.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
