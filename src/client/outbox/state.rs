//! What is behind a sender's lock: the socket's writing closed_by, what waits for it, and the flags.

use crate::client::close_reason::CloseReason;
use crate::client::outbox::OutboxSnapshot;
use crate::client::outbox::{OutboxContext, SendError, Signals};
use crate::client::stats::SessionStats;
use crate::clock::Timestamp;
use crate::ws::Stream;
use crate::ws::{QueueLimits, SendQueue};
use crate::ws::{WriteBuffer, Written};
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// A ping's header: final, opcode 9, four bytes of payload (RFC 6455, section 5.5.2).
const PING_HEADER: [u8; 2] = [0x89, 4];

/// Bytes of control frames that may wait behind a blocked write before nothing more is read: pongs to a peer that
/// sends pings and reads nothing.
const MAX_PENDING_CONTROL: usize = 2 * 1024;

/// The ping under way.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ping {
    #[default]
    None,
    Requested,
    /// Among the control frames that the socket hasn't written yet.
    Queued,
    /// Written at [`OutboxState::ping_sent`].
    Sent,
}

/// One connection's way out.
#[derive(Default)]
pub(crate) struct OutboxState {
    /// There from when the session begins until it ends.
    pub(crate) stream: Option<Arc<Stream>>,
    /// What the socket has not written yet; while that is nothing, it takes no memory.
    buffer: Option<Box<WriteBuffer>>,
    /// The socket took less than it was given, and the session waits for it.
    pub(crate) blocked: bool,
    /// Somebody is about to write what waits.
    pub(crate) has_writer: bool,
    /// The first reason given; it stays.
    pub(crate) close: Option<CloseReason>,
    /// The session is to end without a close handshake.
    abort_requested: bool,
    pub(crate) ping: Ping,
    /// Pings so far: the payload of the last one.
    ping_id: u32,
    /// When the last one was written.
    pub(crate) ping_sent: Timestamp,
    /// The most payload bytes that ever waited.
    peak_bytes: u32,
    /// There only while the session waits: what a session asks of itself wakes nobody.
    pub(crate) waker: Option<Waker>,
    pub(crate) messages_out: u64,
    pub(crate) bytes_out: u64,
}

impl OutboxState {
    pub(crate) fn signals(&self) -> Signals {
        Signals { close: self.close, abort: self.abort_requested, blocked: self.blocked }
    }

    /// What others may know of it.
    pub(crate) fn snapshot(&self) -> OutboxSnapshot {
        let outbox = self.buffer.as_ref().map(|buffer| buffer.outbox());
        OutboxSnapshot {
            close_reason: self.close,
            is_blocked: self.blocked && self.has_pending(),
            ping_sent_at: (self.ping == Ping::Sent).then_some(self.ping_sent),
            messages_out: self.messages_out,
            bytes_out: self.bytes_out,
            outbox_messages: outbox.map_or(0, SendQueue::len),
            outbox_bytes: outbox.map_or(0, SendQueue::bytes),
            outbox_peak_bytes: self.peak_bytes,
        }
    }

    /// Begins the close, with words for the close frame. Whether it was not begun before.
    pub(crate) fn disconnect(&mut self, detail: &str) -> bool {
        if self.close.is_some() {
            return false;
        }
        self.close = Some(CloseReason::Kicked);
        if !detail.is_empty() {
            let end = detail.floor_char_boundary(CloseReason::MAX_DETAIL_BYTES);
            self.buffer().detail = Some(detail[..end].into());
        }
        true
    }

    /// The words for the close frame.
    pub(crate) fn take_detail(&mut self) -> Option<Box<str>> {
        self.buffer.as_mut()?.detail.take()
    }

    pub(crate) fn abort(&mut self, reason: CloseReason) {
        self.close.get_or_insert(reason);
        self.abort_requested = true;
    }

    /// Queues a message. One that doesn't fit closes the client, unless the socket takes what is before it.
    pub(crate) fn push(&mut self, text: Utf8Bytes, context: &OutboxContext) -> Result<(), SendError> {
        let (limits, stats, bytes) = (&context.limits, &context.stats, text.len());
        self.try_make_room(bytes, context);
        let buffer = self.buffer();
        if buffer.push(text, limits).is_err() {
            self.close.get_or_insert(CloseReason::SlowConsumer);
            return Err(SendError::Full);
        }
        let waiting_bytes = buffer.outbox().bytes();
        // A bound is far below 4 GiB.
        self.peak_bytes = self.peak_bytes.max(waiting_bytes as u32);
        stats.outbox_peak.observe(waiting_bytes as u64);
        stats.outbox_bytes.add(bytes as u64);
        Ok(())
    }

    /// Whether there is room for a message, if need be once the socket has written what it takes.
    pub(crate) fn try_make_room(&mut self, bytes: usize, context: &OutboxContext) -> bool {
        if !self.has_room(bytes, &context.limits) {
            self.write(&context.stats);
        }
        self.has_room(bytes, &context.limits)
    }

    /// Puts whole control frames before the messages.
    pub(crate) fn push_control(&mut self, frames: &[u8]) {
        self.buffer().push_control(frames);
    }

    pub(crate) fn has_room(&self, bytes: usize, limits: &QueueLimits) -> bool {
        match &self.buffer {
            Some(buffer) => buffer.outbox().has_room(bytes, limits),
            None => bytes <= limits.bytes,
        }
    }

    fn buffer(&mut self) -> &mut WriteBuffer {
        self.buffer.get_or_insert_with(WriteBuffer::acquire)
    }

    /// Whether the socket has not written everything.
    pub(crate) fn has_pending(&self) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| !buffer.is_empty()) || self.ping_requested()
    }

    /// No ping goes behind a close frame.
    fn ping_requested(&self) -> bool {
        self.ping == Ping::Requested && self.close.is_none()
    }

    /// Whether there is something to write, and the socket may take it.
    pub(crate) fn can_write(&self) -> bool {
        self.has_pending() && !self.blocked && self.stream.is_some()
    }

    /// Whether so much is gathered that it is time to write.
    pub(crate) fn should_flush(&self, limits: &QueueLimits) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| buffer.should_flush()) || self.is_half_full(limits)
    }

    /// Whether so much waits that nothing more should be read that calls for answers.
    pub(crate) fn is_half_full(&self, limits: &QueueLimits) -> bool {
        self.buffer
            .as_ref()
            .is_some_and(|buffer| buffer.control_bytes() > MAX_PENDING_CONTROL || buffer.outbox().is_half_full(limits))
    }

    /// Gives the socket what it takes. The session then waits for it to take more, or is cut because it has failed.
    pub(crate) fn write(&mut self, stats: &SessionStats) {
        if !self.can_write() {
            return;
        }
        self.has_writer = false;
        if self.ping_requested() {
            self.ping_id = self.ping_id.wrapping_add(1);
            let pings = self.ping_id.to_be_bytes();
            self.push_control(&PING_HEADER);
            self.push_control(&pings);
            self.ping = Ping::Queued;
        }
        let (Some(stream), Some(mut buffer)) = (&self.stream, self.buffer.take()) else { return };
        let mut written = Written::default();
        let result = buffer.write(&mut written, |first, second| stream.try_write(first, second));
        self.count(&written, stats);
        if self.ping == Ping::Queued && buffer.control_bytes() == 0 {
            (self.ping, self.ping_sent) = (Ping::Sent, Timestamp::now());
            stats.pings_sent.add(1);
        }
        match result {
            Ok(()) if buffer.detail.is_none() => return buffer.release(),
            Ok(()) => {
                self.buffer = Some(buffer);
                return;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.abort(CloseReason::Abnormal),
        }
        self.blocked = true;
        self.buffer = Some(buffer);
    }

    fn count(&mut self, written: &Written, stats: &SessionStats) {
        self.messages_out += written.messages;
        self.bytes_out += written.bytes;
        stats.messages_out.add(written.messages);
        stats.bytes_out.add(written.bytes);
        stats.outbox_bytes.sub(written.payload_bytes);
    }

    /// The round trip, if this is the payload of the ping that was sent last.
    pub(crate) fn on_pong(&mut self, payload: &[u8]) -> Option<Duration> {
        match self.ping {
            Ping::Sent if payload == self.ping_id.to_be_bytes() => {
                self.ping = Ping::None;
                Some(self.ping_sent.elapsed())
            }
            _ => None,
        }
    }

    /// Forgets the messages that are not begun.
    pub(crate) fn discard_unsent(&mut self, stats: &SessionStats) {
        if let Some(buffer) = &mut self.buffer {
            stats.outbox_bytes.sub(buffer.discard_unsent());
        }
    }

    /// Forgets everything.
    pub(crate) fn discard_all(&mut self, stats: &SessionStats) {
        if let Some(buffer) = self.buffer.take() {
            stats.outbox_bytes.sub(buffer.outbox().bytes() as u64);
        }
    }
}

#[cfg(test)]
impl OutboxState {
    pub(super) fn queued(&self) -> Vec<Utf8Bytes> {
        self.buffer.as_ref().map(|buffer| buffer.outbox().iter().cloned().collect()).unwrap_or_default()
    }
}
