//! What others ask of a connection: messages to send, a ping, a close. Nobody waits here.
//!
//! A message goes straight to the socket, under the client's lock, if the session waits and nothing is before it.
//! Else it queues: while the session is at work, which writes when it has gathered what its messages call for, and
//! while the socket takes no more, which the session waits for. So no frame is torn by another, and order is kept.

mod line;

use super::close::CloseReason;
use super::handler::turn_is_over;
use super::outbox::Bounds;
use super::stats::Stats;
use super::stream::Stream;
use crate::clock::Moment;
use line::{Line, Ping};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::coop;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The outbox had no room for it.
    Full,
    /// The client is being closed, or is gone.
    Closed,
}

/// What all senders of a gateway share.
#[derive(Debug)]
pub struct SenderContext {
    /// How much may wait for one client.
    pub bounds: Bounds,
    /// Where it is counted.
    pub stats: Arc<Stats>,
}

/// A client's way out, and the flags that can't be crowded out by messages.
pub struct Sender {
    line: Mutex<Line>,
    context: Arc<SenderContext>,
}

/// What others may know of a client's way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderState {
    /// Why it is being closed, or was.
    pub close_reason: Option<CloseReason>,
    /// The socket takes no more of what waits.
    pub is_blocked: bool,
    /// When the ping was written that waits for its pong.
    pub ping_sent_at: Option<Moment>,
    /// Text messages that the socket took.
    pub messages_out: u64,
    /// Bytes that it took, with frame headers.
    pub bytes_out: u64,
    /// Messages that wait,
    pub outbox_messages: usize,
    /// their payload bytes,
    pub outbox_bytes: usize,
    /// and the most of them that there ever were.
    pub outbox_highest_bytes: u32,
}

/// What the session has to know before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Requests {
    pub(super) close: Option<CloseReason>,
    /// To end without a close handshake: asked for, or a write has failed.
    pub(super) cut: bool,
    /// The socket took less than it was given: the session is to wait until it takes more.
    pub(super) blocked: bool,
}

/// Whether the session should read one message more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    On,
    /// Not before the socket has taken more: what is read calls for answers.
    Paused,
    /// The connection is to close.
    Over,
}

impl Sender {
    /// The way out of a client that has no socket yet: messages queue.
    pub fn new(context: Arc<SenderContext>) -> Self {
        Sender { line: Mutex::default(), context }
    }

    pub(super) fn send(&self, text: Utf8Bytes) -> Result<(), SendError> {
        self.ask(|line| self.push(line, text))
    }

    /// The same, but where there is no room the client is left as it is.
    pub(super) fn try_send(&self, text: Utf8Bytes) -> Result<(), SendError> {
        self.ask(|line| match line.close.is_some() || line.makes_room(text.len(), &self.context) {
            true => self.push(line, text),
            false => Err(SendError::Full),
        })
    }

    fn push(&self, line: &mut Line, text: Utf8Bytes) -> Result<(), SendError> {
        if line.close.is_some() {
            return Err(SendError::Closed);
        }
        let pushed = line.push(text, &self.context);
        self.write_now(line);
        pushed
    }

    /// Queues a message. Whether it is on the caller to have it written, by [`write_queued`](Self::write_queued): nobody
    /// is about to do that already.
    pub(super) fn queue(&self, text: Utf8Bytes) -> Result<bool, SendError> {
        let mut line = self.line.lock();
        if line.close.is_none() && line.has_room(text.len(), &self.context.bounds) {
            line.push(text, &self.context)?;
            return Ok(!std::mem::replace(&mut line.has_writer, true));
        }
        drop(line);
        self.send(text).map(|()| false)
    }

    /// Writes what was queued, or has the session write it.
    pub(super) fn write_queued(&self) {
        self.ask(|line| self.write_now(line));
    }

    /// The first reason wins and is returned.
    pub(super) fn close(&self, reason: CloseReason) -> CloseReason {
        self.ask(|line| *line.close.get_or_insert(reason))
    }

    /// The same as an operator's request, with words for the close frame. Whether it was the first reason.
    pub(super) fn kick(&self, note: &str) -> bool {
        self.ask(|line| line.kick(note))
    }

    /// What others may know of it, all of one moment.
    pub fn state(&self) -> SenderState {
        self.line.lock().state()
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.line.lock().close
    }

    /// Asks for a ping, unless one is still on its way to the socket.
    pub(super) fn ping(&self) {
        self.ask(|line| {
            if line.ping != Ping::Waiting {
                line.ping = Ping::Asked;
            }
            self.write_now(line);
        });
    }

    /// As if the ping had gone to a socket.
    #[cfg(test)]
    pub(crate) fn ping_sent(&self) {
        let mut line = self.line.lock();
        (line.ping, line.ping_sent) = (Ping::Sent, Moment::now());
    }

    /// Ends the session at once, without a close handshake, for `reason` unless there is an earlier one.
    pub fn cut(&self, reason: CloseReason) {
        self.ask(|line| line.cut(reason));
    }

    /// Changes what is asked, and wakes the session if it has to do something about it, after the lock is released.
    fn ask<R>(&self, change: impl FnOnce(&mut Line) -> R) -> R {
        let mut line = self.line.lock();
        let before = line.requests();
        let result = change(&mut line);
        let is_news = line.requests() != before || line.can_write();
        let waker = if is_news { line.waker.take() } else { None };
        drop(line);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Writes for a session that waits, if this task still has its turn; otherwise the session will. One that is at work
    /// gathers.
    fn write_now(&self, line: &mut Line) {
        let now =
            if line.waker.is_none() { line.is_much(&self.context.bounds) } else { line.can_write() && has_turn() };
        if now {
            line.write(&self.context.stats);
        }
    }
}

/// For the session.
impl Sender {
    /// The session begins: from here on messages go to the socket.
    pub(super) fn open(&self, stream: Arc<Stream>) {
        self.line.lock().stream = Some(stream);
    }

    /// Begins to work: writes what is there, and gathers from here on. `is_writable` says that the socket takes more.
    pub(super) fn begin(&self, is_writable: bool) -> Requests {
        let mut line = self.line.lock();
        line.waker = None;
        line.blocked &= !is_writable;
        line.write(&self.context.stats);
        line.requests()
    }

    /// Puts whole control frames before the messages, and empties `frames`.
    pub(super) fn control(&self, frames: &mut Vec<u8>) {
        let mut line = self.line.lock();
        line.push_control(frames);
        frames.clear();
        self.write_now(&mut line);
    }

    /// Whether to read one message more.
    pub(super) fn reading(&self) -> Reading {
        let line = self.line.lock();
        match line.close {
            Some(_) => Reading::Over,
            None if line.blocked && line.is_half_full(&self.context.bounds) => Reading::Paused,
            None => Reading::On,
        }
    }

    /// The round trip, if this is the payload of the ping that was sent last.
    pub(super) fn pong(&self, payload: &[u8]) -> Option<Duration> {
        self.line.lock().pong(payload)
    }

    /// Ends the work: writes what was gathered. False, and no waker kept, when the session has to look again.
    pub(super) fn park(&self, waker: &Waker, seen: Requests) -> bool {
        let mut line = self.line.lock();
        line.write(&self.context.stats);
        let is_over = line.requests() == seen;
        if is_over {
            line.waker = Some(waker.clone());
        }
        is_over
    }

    /// Whether the socket has taken everything.
    pub(super) fn is_flushed(&self) -> bool {
        !self.line.lock().has_more()
    }

    /// Bytes that the socket has taken.
    pub(super) fn bytes_out(&self) -> u64 {
        self.line.lock().bytes_out
    }

    /// The words for the close frame that goes out now.
    pub(super) fn take_note(&self) -> Option<Box<str>> {
        self.line.lock().take_note()
    }

    /// Forgets all messages that are not begun.
    pub(super) fn clear(&self) {
        self.line.lock().clear(&self.context.stats);
    }

    /// The session has ended: gives the stream back. Returns what was known of it last.
    pub(super) fn end(&self) -> SenderState {
        let mut line = self.line.lock();
        let state = line.state();
        line.forget(&self.context.stats);
        (line.stream, line.waker) = (None, None);
        state
    }
}

/// Looks at clients, or queueings for them, that take as long as a write.
const LOOKS_PER_WRITE: usize = 64;

/// Charges looking at so many clients to the turn of the task that runs.
pub fn spend_turn(looks: usize) {
    for _ in 0..looks.div_ceil(LOOKS_PER_WRITE) {
        if !has_turn() {
            return;
        }
    }
}

/// Whether the task that runs may write to one socket more before it lets others have their turn; outside a task always.
fn has_turn() -> bool {
    // The look first: without a turn left, the other call would wake a task that isn't there.
    if turn_is_over() {
        return false;
    }
    match coop::poll_proceed(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(turn) => {
            turn.made_progress();
            true
        }
        Poll::Pending => false,
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.line.get_mut().forget(&self.context.stats);
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender(..)")
    }
}

#[cfg(test)]
mod tests;
