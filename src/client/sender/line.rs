//! What is behind a sender's lock: the socket's writing side, what waits for it, and the flags.

use super::SenderState;
use super::{Requests, SendError, SenderContext};
use crate::client::close::CloseReason;
use crate::client::outbox::{Bounds, Outbox};
use crate::client::outgoing::{Outgoing, Taken};
use crate::client::stats::Stats;
use crate::client::stream::Stream;
use crate::clock::Moment;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// A ping's header: final, opcode 9, four bytes of payload (RFC 6455, section 5.5.2).
const PING_HEADER: [u8; 2] = [0x89, 4];

/// Bytes of control frames that may wait behind a blocked write before nothing more is read: pongs to a peer that
/// sends pings and reads nothing.
const CONTROL_WAITING: usize = 2 * 1024;

/// The ping under way.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Ping {
    #[default]
    None,
    Asked,
    /// Among the control frames that the socket hasn't taken yet.
    Waiting,
    /// Written at [`Line::ping_sent`].
    Sent,
}

/// One connection's way out.
#[derive(Default)]
pub(super) struct Line {
    /// There from when the session begins until it ends.
    pub(super) stream: Option<Arc<Stream>>,
    /// What the socket has not taken yet; while that is nothing, it takes no memory.
    waiting: Option<Box<Outgoing>>,
    /// The socket took less than it was given, and the session waits for it.
    pub(super) blocked: bool,
    /// Somebody is about to write what waits.
    pub(super) has_writer: bool,
    /// The first reason given; it stays.
    pub(super) close: Option<CloseReason>,
    /// The session is to end without a close handshake.
    cut: bool,
    pub(super) ping: Ping,
    /// Pings so far: the payload of the last one.
    pings: u32,
    /// When the last one was written.
    pub(super) ping_sent: Moment,
    /// The most payload bytes that ever waited.
    highest_bytes: u32,
    /// There only while the session waits: what a session asks of itself wakes nobody.
    pub(super) waker: Option<Waker>,
    pub(super) messages_out: u64,
    pub(super) bytes_out: u64,
}

impl Line {
    pub(super) fn requests(&self) -> Requests {
        Requests { close: self.close, cut: self.cut, blocked: self.blocked }
    }

    /// What others may know of it.
    pub(super) fn state(&self) -> SenderState {
        let outbox = self.waiting.as_ref().map(|waiting| waiting.outbox());
        SenderState {
            close_reason: self.close,
            is_blocked: self.blocked && self.has_more(),
            ping_sent_at: (self.ping == Ping::Sent).then_some(self.ping_sent),
            messages_out: self.messages_out,
            bytes_out: self.bytes_out,
            outbox_messages: outbox.map_or(0, Outbox::len),
            outbox_bytes: outbox.map_or(0, Outbox::bytes),
            outbox_highest_bytes: self.highest_bytes,
        }
    }

    /// Begins the close, with words for the close frame. Whether it was not begun before.
    pub(super) fn kick(&mut self, note: &str) -> bool {
        if self.close.is_some() {
            return false;
        }
        self.close = Some(CloseReason::Kicked);
        if !note.is_empty() {
            let end = note.floor_char_boundary(CloseReason::NOTE_BYTES);
            self.waiting().note = Some(note[..end].into());
        }
        true
    }

    /// The words for the close frame.
    pub(super) fn take_note(&mut self) -> Option<Box<str>> {
        self.waiting.as_mut()?.note.take()
    }

    pub(super) fn cut(&mut self, reason: CloseReason) {
        self.close.get_or_insert(reason);
        self.cut = true;
    }

    /// Queues a message. One that doesn't fit closes the client, unless the socket takes what is before it.
    pub(super) fn push(&mut self, text: Utf8Bytes, context: &SenderContext) -> Result<(), SendError> {
        let (bounds, stats, bytes) = (&context.bounds, &context.stats, text.len());
        self.makes_room(bytes, context);
        let waiting = self.waiting();
        if waiting.push(text, bounds).is_err() {
            self.close.get_or_insert(CloseReason::SlowConsumer);
            return Err(SendError::Full);
        }
        let waiting_bytes = waiting.outbox().bytes();
        // A bound is far below 4 GiB.
        self.highest_bytes = self.highest_bytes.max(waiting_bytes as u32);
        stats.outbox_largest.reach(waiting_bytes as u64);
        stats.outbox_bytes.add(bytes as u64);
        Ok(())
    }

    /// Whether there is room for a message, if need be once the socket has taken what it takes.
    pub(super) fn makes_room(&mut self, bytes: usize, context: &SenderContext) -> bool {
        if !self.has_room(bytes, &context.bounds) {
            self.write(&context.stats);
        }
        self.has_room(bytes, &context.bounds)
    }

    /// Puts whole control frames before the messages.
    pub(super) fn push_control(&mut self, frames: &[u8]) {
        self.waiting().push_control(frames);
    }

    pub(super) fn has_room(&self, bytes: usize, bounds: &Bounds) -> bool {
        match &self.waiting {
            Some(waiting) => waiting.outbox().has_room(bytes, bounds),
            None => bytes <= bounds.bytes,
        }
    }

    fn waiting(&mut self) -> &mut Outgoing {
        self.waiting.get_or_insert_with(Outgoing::spare)
    }

    /// Whether the socket has not taken everything.
    pub(super) fn has_more(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_empty()) || self.asks_ping()
    }

    /// No ping goes behind a close frame.
    fn asks_ping(&self) -> bool {
        self.ping == Ping::Asked && self.close.is_none()
    }

    /// Whether there is something to write, and the socket may take it.
    pub(super) fn can_write(&self) -> bool {
        self.has_more() && !self.blocked && self.stream.is_some()
    }

    /// Whether so much is gathered that it is time to write.
    pub(super) fn is_much(&self, bounds: &Bounds) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.is_much()) || self.is_half_full(bounds)
    }

    /// Whether so much waits that nothing more should be read that calls for answers.
    pub(super) fn is_half_full(&self, bounds: &Bounds) -> bool {
        self.waiting
            .as_ref()
            .is_some_and(|waiting| waiting.control_bytes() > CONTROL_WAITING || waiting.outbox().is_half_full(bounds))
    }

    /// Gives the socket what it takes. The session then waits for it to take more, or is cut because it has failed.
    pub(super) fn write(&mut self, stats: &Stats) {
        if !self.can_write() {
            return;
        }
        self.has_writer = false;
        if self.asks_ping() {
            self.pings = self.pings.wrapping_add(1);
            let pings = self.pings.to_be_bytes();
            self.push_control(&PING_HEADER);
            self.push_control(&pings);
            self.ping = Ping::Waiting;
        }
        let (Some(stream), Some(mut waiting)) = (&self.stream, self.waiting.take()) else { return };
        let mut taken = Taken::default();
        let written = waiting.write(&mut taken, |first, second| stream.try_write(first, second));
        self.count(&taken, stats);
        if self.ping == Ping::Waiting && waiting.control_bytes() == 0 {
            (self.ping, self.ping_sent) = (Ping::Sent, Moment::now());
            stats.pings_sent.add(1);
        }
        match written {
            Ok(()) if waiting.note.is_none() => return waiting.give_back(),
            Ok(()) => {
                self.waiting = Some(waiting);
                return;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.cut(CloseReason::Abnormal),
        }
        self.blocked = true;
        self.waiting = Some(waiting);
    }

    fn count(&mut self, taken: &Taken, stats: &Stats) {
        self.messages_out += taken.messages;
        self.bytes_out += taken.bytes;
        stats.messages_out.add(taken.messages);
        stats.bytes_out.add(taken.bytes);
        stats.outbox_bytes.sub(taken.payload_bytes);
    }

    /// The round trip, if this is the payload of the ping that was sent last.
    pub(super) fn pong(&mut self, payload: &[u8]) -> Option<Duration> {
        match self.ping {
            Ping::Sent if payload == self.pings.to_be_bytes() => {
                self.ping = Ping::None;
                Some(self.ping_sent.elapsed())
            }
            _ => None,
        }
    }

    /// Forgets the messages that are not begun.
    pub(super) fn clear(&mut self, stats: &Stats) {
        if let Some(waiting) = &mut self.waiting {
            stats.outbox_bytes.sub(waiting.clear());
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self, stats: &Stats) {
        if let Some(waiting) = self.waiting.take() {
            stats.outbox_bytes.sub(waiting.outbox().bytes() as u64);
        }
    }
}
