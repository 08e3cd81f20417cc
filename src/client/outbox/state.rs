//! A client's outbound state: everything that the [`Outbox`](super::Outbox) mutex guards.

use super::{OutboxContext, OutboxSnapshot, Outgoing, SendError};
use crate::client::close_reason::CloseReason;
use crate::clock::Timestamp;
use crate::memory::EXHAUSTED_SHARE;
use crate::ws::{CloseDetail, Stream, WriteBuffer, Written, queued_size};
use std::cmp::Ordering;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// A ping's header: final, opcode 9, four bytes of payload (RFC 6455, section 5.5.2).
const PING_HEADER: [u8; 2] = [0x89, 4];

/// Bytes of control frames that may wait for a blocked socket before reading stops. Bounds the pongs to a peer that
/// sends pings and reads nothing.
const MAX_PENDING_CONTROL: usize = 2 * 1024;

/// The detail of [`CloseReason::SlowConsumer`] if the outbox was full.
const OUTBOX_FULL: &str = "over limits.outbox_max_bytes";

/// The detail of [`CloseReason::Overloaded`].
pub(crate) const MEMORY_EXHAUSTED: &str = "over limits.max_memory_for_clients";

/// The requests and the socket state on which the session acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signals {
    /// The reason of the requested close.
    pub(crate) close: Option<CloseReason>,
    /// The session is to end without a close handshake, on request or because a write has failed.
    pub(crate) abort: bool,
    /// The socket accepted less than it was offered: the session waits until it is writable.
    pub(crate) blocked: bool,
}

/// Whether the session should read another message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadState {
    /// It should.
    Open,
    /// Not until the socket has accepted more: the responses would fill the outbox.
    Paused,
    /// No: a close is requested.
    Closing,
}

/// The state of the latest ping.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ping {
    /// No ping is under way.
    #[default]
    None,
    /// The next write begins with a ping.
    Requested,
    /// The ping is among the control frames that the socket has not accepted yet.
    Queued,
    /// The ping was written at [`OutboxState::ping_sent_at`], and its pong has not been received.
    Sent,
}

/// A client's outbound state: its socket, unsent frames, and pending ping and close requests.
#[derive(Default)]
pub(crate) struct OutboxState {
    /// Set while the session exists and no write has failed.
    pub(crate) stream: Option<Arc<Stream>>,
    /// The frames that the socket has not accepted yet. `None` when there are none, so that an idle client owns no
    /// buffer.
    buffer: Option<Box<WriteBuffer>>,
    /// The socket accepted less than it was offered, and the session waits until it is writable.
    pub(crate) blocked: bool,
    /// Set by the first task that enqueues a message after a write, until the next write. That task will flush; if it
    /// couldn't write, because the socket is blocked, the session runs, or its budget was spent, the session will.
    pub(crate) has_writer: bool,
    /// The first reason given; it never changes.
    pub(crate) close: Option<CloseReason>,
    /// The session is to end without a close handshake.
    abort_requested: bool,
    pub(crate) ping: Ping,
    /// The number of pings so far, which is the payload of the latest one.
    ping_id: u32,
    /// When the latest ping was written.
    pub(crate) ping_sent_at: Timestamp,
    /// The most bytes that were ever queued.
    peak_bytes: u32,
    /// Set only while the session is parked, so that its own calls wake no task.
    pub(crate) waker: Option<Waker>,
    /// Text and binary messages that the socket has accepted.
    messages_out: u64,
    /// Bytes that the socket has accepted, frame headers included.
    pub(crate) bytes_out: u64,
}

impl OutboxState {
    pub(crate) fn signals(&self) -> Signals {
        Signals { close: self.close, abort: self.abort_requested, blocked: self.blocked }
    }

    pub(crate) fn snapshot(&self) -> OutboxSnapshot {
        OutboxSnapshot {
            close_reason: self.close,
            is_blocked: self.blocked && self.has_pending(),
            ping_sent_at: (self.ping == Ping::Sent).then_some(self.ping_sent_at),
            messages_out: self.messages_out,
            bytes_out: self.bytes_out,
            outbox_messages: self.buffer.as_ref().map_or(0, |buffer| buffer.messages()),
            outbox_bytes: self.message_bytes(),
            outbox_peak_bytes: self.peak_bytes,
        }
    }

    /// Requests a close with a detail, of whose text the first [`CloseReason::MAX_DETAIL_BYTES`] are kept. Returns
    /// whether no close was requested before.
    pub(crate) fn close_with(&mut self, reason: CloseReason, mut detail: CloseDetail) -> bool {
        if self.close.is_some() {
            return false;
        }
        self.close = Some(reason);
        let end = detail.text.floor_char_boundary(CloseReason::MAX_DETAIL_BYTES);
        detail.text = detail.text[..end].into();
        self.buffer().close_detail = Some(Box::new(detail));
        true
    }

    pub(crate) fn close_detail(&self) -> Option<&CloseDetail> {
        self.buffer.as_ref()?.close_detail.as_deref()
    }

    pub(crate) fn abort(&mut self, reason: CloseReason) {
        self.close.get_or_insert(reason);
        self.abort_requested = true;
    }

    /// Queues a message. If there is no room, not even after a write, requests a close: as
    /// [`CloseReason::SlowConsumer`] if this outbox is full, as [`CloseReason::Overloaded`] if memory is exhausted.
    pub(crate) fn push(&mut self, queued: Outgoing, context: &OutboxContext) -> Result<(), SendError> {
        let Outgoing { message, is_shared } = queued;
        let bytes = message.payload().len();
        if !self.try_make_room(bytes, context) {
            let is_full = self.message_bytes() + queued_size(bytes) > context.max_bytes();
            let (reason, text) = if is_full {
                (CloseReason::SlowConsumer, OUTBOX_FULL)
            } else {
                (CloseReason::Overloaded, MEMORY_EXHAUSTED)
            };
            self.close_with(reason, CloseDetail { requested_by: None, text: text.into() });
            return Err(SendError::Full);
        }
        let buffer = self.buffer();
        buffer.push(message, is_shared);
        let queued_bytes = buffer.bytes().all;
        // The configuration limits an outbox to 1 GiB.
        self.peak_bytes = self.peak_bytes.max(queued_bytes as u32);
        context.stats.outbox_peak_bytes.observe(queued_bytes as u64);
        Ok(())
    }

    /// Brings the counters of what is queued up to date. Called after each change of the messages, except by a write,
    /// which does it itself.
    pub(crate) fn count_queued(&mut self, context: &OutboxContext) {
        if let Some(buffer) = &mut self.buffer {
            count_queued(buffer, context);
        }
    }

    /// Returns whether there is room for a message of `bytes` bytes. If there is none at first, writes to make some.
    pub(crate) fn try_make_room(&mut self, bytes: usize, context: &OutboxContext) -> bool {
        self.has_room(bytes, context) || self.write_to_make_room(bytes, context)
    }

    #[cold]
    fn write_to_make_room(&mut self, bytes: usize, context: &OutboxContext) -> bool {
        while self.can_write() {
            self.write(context);
            if self.has_room(bytes, context) {
                return true;
            }
        }
        false
    }

    /// Queues whole control frames, ahead of the messages.
    pub(crate) fn push_control(&mut self, frames: &[u8]) {
        self.buffer().push_control(frames);
    }

    /// Whether there is room for a message of `bytes` bytes. While memory is exhausted, there is none in an outbox in
    /// which much waits already.
    pub(crate) fn has_room(&self, bytes: usize, context: &OutboxContext) -> bool {
        let queued = self.message_bytes();
        queued + queued_size(bytes) <= context.max_bytes()
            && (queued as u64 <= EXHAUSTED_SHARE || !context.memory.is_exhausted())
    }

    /// Bytes queued, as they count against the limit.
    pub(crate) fn message_bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.bytes().all)
    }

    fn buffer(&mut self) -> &mut WriteBuffer {
        self.buffer.get_or_insert_with(WriteBuffer::acquire)
    }

    /// Whether a frame or a requested ping is left to write.
    pub(crate) fn has_pending(&self) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| !buffer.is_empty()) || self.ping_requested()
    }

    /// No ping is sent once a close is requested: it could follow the close frame (RFC 6455, section 5.5.1).
    fn ping_requested(&self) -> bool {
        self.ping == Ping::Requested && self.close.is_none()
    }

    /// Whether something is left to write and the socket may accept it.
    pub(crate) fn can_write(&self) -> bool {
        self.has_pending() && !self.blocked && self.stream.is_some()
    }

    /// Whether enough is batched for a write while the session runs.
    pub(crate) fn should_flush(&self, max_bytes: usize) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| buffer.should_flush() || is_half_full(buffer, max_bytes))
    }

    /// Whether so much is queued that a blocked session should stop reading: the responses would fill the outbox.
    pub(crate) fn is_half_full(&self, max_bytes: usize) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| is_half_full(buffer, max_bytes))
    }

    /// Writes until everything is written, the task's coop budget is spent, a part of a long message is written, or the
    /// socket accepts no more; then the session waits for the socket. After a failed write the session aborts.
    pub(crate) fn write(&mut self, context: &OutboxContext) {
        if self.can_write() {
            self.write_pending(context);
        }
    }

    /// The same, if the caller knows that something [can be written](Self::can_write).
    pub(crate) fn write_pending(&mut self, context: &OutboxContext) {
        self.has_writer = false;
        if self.ping_requested() {
            self.ping_id = self.ping_id.wrapping_add(1);
            let payload = self.ping_id.to_be_bytes();
            self.push_control(&PING_HEADER);
            self.push_control(&payload);
            self.ping = Ping::Queued;
        }
        let (Some(stream), Some(mut buffer)) = (&self.stream, self.buffer.take()) else { return };
        let mut written = Written::default();
        let result = buffer.write(&mut written, |first, second| stream.try_write(first, second));
        self.count_written(&written, context);
        count_queued(&mut buffer, context);
        if self.ping == Ping::Queued && buffer.control_bytes() == 0 {
            (self.ping, self.ping_sent_at) = (Ping::Sent, Timestamp::now());
            context.stats.pings_sent.add(1);
        }
        match result {
            Ok(()) if buffer.is_empty() && buffer.close_detail.is_none() => return buffer.release(),
            Ok(()) => {
                self.buffer = Some(buffer);
                return;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
            Err(_) => {
                self.abort(CloseReason::Abnormal);
                self.stream = None;
            }
        }
        self.buffer = Some(buffer);
    }

    fn count_written(&mut self, written: &Written, context: &OutboxContext) {
        self.messages_out += written.messages;
        self.bytes_out += written.bytes;
        context.stats.messages_out.add(written.messages);
        context.stats.bytes_out.add(written.bytes);
    }

    /// Returns the round trip if `payload` is that of the latest ping and this is its first pong.
    pub(crate) fn on_pong(&mut self, payload: &[u8]) -> Option<Duration> {
        if self.ping != Ping::Sent || payload != self.ping_id.to_be_bytes() {
            return None;
        }
        self.ping = Ping::None;
        Some(self.ping_sent_at.elapsed())
    }

    /// Drops all messages except a partly written one.
    pub(crate) fn discard_unsent(&mut self, context: &OutboxContext) {
        if let Some(buffer) = &mut self.buffer {
            buffer.discard_unsent();
            count_queued(buffer, context);
        }
    }

    /// Drops everything that is queued.
    pub(crate) fn discard_all(&mut self, context: &OutboxContext) {
        if let Some(buffer) = self.buffer.take() {
            context.stats.outbox_bytes.sub(buffer.counted.all as u64);
            context.memory.sub(buffer.counted.own as u64);
        }
    }
}

pub(super) fn count_queued(buffer: &mut WriteBuffer, context: &OutboxContext) {
    let now = buffer.bytes();
    let before = std::mem::replace(&mut buffer.counted, now);
    // One may rise while the other falls: when a shared payload is queued and an older one of this outbox is written.
    match now.all.cmp(&before.all) {
        Ordering::Greater => _ = context.stats.outbox_bytes.add((now.all - before.all) as u64),
        Ordering::Less => context.stats.outbox_bytes.sub((before.all - now.all) as u64),
        Ordering::Equal => {}
    }
    match now.own.cmp(&before.own) {
        Ordering::Greater => context.memory.add((now.own - before.own) as u64),
        Ordering::Less => context.memory.sub((before.own - now.own) as u64),
        Ordering::Equal => {}
    }
}

fn is_half_full(buffer: &WriteBuffer, max_bytes: usize) -> bool {
    buffer.control_bytes() > MAX_PENDING_CONTROL || buffer.is_half_full(max_bytes)
}

#[cfg(test)]
impl OutboxState {
    pub(super) fn queued(&self) -> Vec<crate::ws::Message> {
        self.buffer.as_ref().map(|buffer| buffer.queued()).unwrap_or_default()
    }
}
