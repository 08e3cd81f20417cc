//! What others ask of a connection: messages to send, a ping, a close. Nobody waits here.
//!
//! A message goes straight to the socket, under the client's lock, if the session waits and nothing is before it.
//! Else it queues: while the session is at work, which writes when it has gathered what its messages call for, and
//! while the socket takes no more, which the session waits for. So no frame is torn by another, and order is kept.

mod state;

use super::close_reason::CloseReason;
use super::stats::SessionStats;
use crate::budget;
use crate::clock::Timestamp;
use crate::ws::QueueLimits;
use crate::ws::Stream;
use parking_lot::Mutex;
use state::{OutboxState, Ping};
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The outbox had no room for it.
    Full,
    /// The client is being closed, or is gone.
    Closed,
}

/// What all outboxes of a gateway share.
#[derive(Debug)]
pub struct OutboxContext {
    /// How much may wait for one client.
    pub limits: QueueLimits,
    /// Where it is counted.
    pub stats: Arc<SessionStats>,
}

/// A client's way out, and the flags that can't be crowded out by messages.
pub struct Outbox {
    state: Mutex<OutboxState>,
    context: Arc<OutboxContext>,
}

/// What others may know of a client's way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxSnapshot {
    /// Why it is being closed, or was.
    pub close_reason: Option<CloseReason>,
    /// The socket takes no more of what waits.
    pub is_blocked: bool,
    /// When the ping was written that waits for its pong.
    pub ping_sent_at: Option<Timestamp>,
    /// Text messages that the socket took.
    pub messages_out: u64,
    /// Bytes that it took, with frame headers.
    pub bytes_out: u64,
    /// Messages that wait,
    pub outbox_messages: usize,
    /// their payload bytes,
    pub outbox_bytes: usize,
    /// and the most of them that there ever were.
    pub outbox_peak_bytes: u32,
}

/// What the session has to know before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signals {
    pub(crate) close: Option<CloseReason>,
    /// To end without a close handshake: asked for, or a write has failed.
    pub(crate) abort: bool,
    /// The socket took less than it was given: the session is to wait until it takes more.
    pub(crate) blocked: bool,
}

/// Whether the session should read one message more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadState {
    Open,
    /// Not before the socket has written more: what is read calls for answers.
    Paused,
    /// The connection is to close.
    Closing,
}

impl Outbox {
    /// The way out of a client that has no socket yet: messages queue.
    pub fn new(context: Arc<OutboxContext>) -> Self {
        Outbox { state: Mutex::default(), context }
    }

    pub(crate) fn send(&self, text: Utf8Bytes) -> Result<(), SendError> {
        self.update(|state| self.push(state, text))
    }

    /// The same, but where there is no room the client is left as it is.
    pub(crate) fn try_send(&self, text: Utf8Bytes) -> Result<(), SendError> {
        self.update(|state| match state.close.is_some() || state.try_make_room(text.len(), &self.context) {
            true => self.push(state, text),
            false => Err(SendError::Full),
        })
    }

    fn push(&self, state: &mut OutboxState, text: Utf8Bytes) -> Result<(), SendError> {
        if state.close.is_some() {
            return Err(SendError::Closed);
        }
        let pushed = state.push(text, &self.context);
        self.maybe_flush(state);
        pushed
    }

    /// Queues a message. Whether it is on the caller to have it written, by [`flush`](Self::flush): nobody
    /// is about to do that already.
    pub(crate) fn enqueue(&self, text: Utf8Bytes) -> Result<bool, SendError> {
        let mut state = self.state.lock();
        if state.close.is_none() && state.has_room(text.len(), &self.context.limits) {
            state.push(text, &self.context)?;
            return Ok(!std::mem::replace(&mut state.has_writer, true));
        }
        drop(state);
        self.send(text).map(|()| false)
    }

    /// Writes what was queued, or has the session write it.
    pub(crate) fn flush(&self) {
        self.update(|state| self.maybe_flush(state));
    }

    /// The first reason wins and is returned.
    pub(crate) fn close(&self, reason: CloseReason) -> CloseReason {
        self.update(|state| *state.close.get_or_insert(reason))
    }

    /// The same as an operator's request, with words for the close frame. Whether it was the first reason.
    pub(crate) fn disconnect(&self, detail: &str) -> bool {
        self.update(|state| state.disconnect(detail))
    }

    /// What others may know of it, as one consistent snapshot.
    pub fn snapshot(&self) -> OutboxSnapshot {
        self.state.lock().snapshot()
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.state.lock().close
    }

    /// Asks for a ping, unless one is still on its way to the socket.
    pub(crate) fn ping(&self) {
        self.update(|state| {
            if state.ping != Ping::Queued {
                state.ping = Ping::Requested;
            }
            self.maybe_flush(state);
        });
    }

    /// As if the ping had gone to a socket.
    #[cfg(test)]
    pub(crate) fn ping_sent(&self) {
        let mut state = self.state.lock();
        (state.ping, state.ping_sent) = (Ping::Sent, Timestamp::now());
    }

    /// Ends the session at once, without a close handshake, for `reason` unless there is an earlier one.
    pub fn abort(&self, reason: CloseReason) {
        self.update(|state| state.abort(reason));
    }

    /// Changes what is asked, and wakes the session if it has to do something about it, after the lock is released.
    fn update<R>(&self, change: impl FnOnce(&mut OutboxState) -> R) -> R {
        let mut state = self.state.lock();
        let before = state.signals();
        let result = change(&mut state);
        let is_news = state.signals() != before || state.can_write();
        let waker = if is_news { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Writes for a session that waits, if this task still has its turn; otherwise the session will. One that is at work
    /// gathers.
    fn maybe_flush(&self, state: &mut OutboxState) {
        let now = if state.waker.is_none() {
            state.should_flush(&self.context.limits)
        } else {
            state.can_write() && budget::try_take()
        };
        if now {
            state.write(&self.context.stats);
        }
    }
}

/// For the session.
impl Outbox {
    /// The session begins: from here on messages go to the socket.
    pub(crate) fn attach(&self, stream: Arc<Stream>) {
        self.state.lock().stream = Some(stream);
    }

    /// Begins to work: writes what is there, and gathers from here on. `is_writable` says that the socket takes more.
    pub(crate) fn resume(&self, is_writable: bool) -> Signals {
        let mut state = self.state.lock();
        state.waker = None;
        state.blocked &= !is_writable;
        state.write(&self.context.stats);
        state.signals()
    }

    /// Puts whole control frames before the messages, and empties `frames`.
    pub(crate) fn push_control(&self, frames: &mut Vec<u8>) {
        let mut state = self.state.lock();
        state.push_control(frames);
        frames.clear();
        self.maybe_flush(&mut state);
    }

    /// Whether to read one message more.
    pub(crate) fn read_state(&self) -> ReadState {
        let state = self.state.lock();
        match state.close {
            Some(_) => ReadState::Closing,
            None if state.blocked && state.is_half_full(&self.context.limits) => ReadState::Paused,
            None => ReadState::Open,
        }
    }

    /// The round trip, if this is the payload of the ping that was sent last.
    pub(crate) fn on_pong(&self, payload: &[u8]) -> Option<Duration> {
        self.state.lock().on_pong(payload)
    }

    /// Ends the work: writes what was gathered. False, and no waker kept, when the session has to look again.
    pub(crate) fn park(&self, waker: &Waker, seen: Signals) -> bool {
        let mut state = self.state.lock();
        state.write(&self.context.stats);
        let is_over = state.signals() == seen;
        if is_over {
            state.waker = Some(waker.clone());
        }
        is_over
    }

    /// Whether the socket has written everything.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.state.lock().has_pending()
    }

    /// Bytes that the socket has written.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.state.lock().bytes_out
    }

    /// The words for the close frame that goes out now.
    pub(crate) fn take_detail(&self) -> Option<Box<str>> {
        self.state.lock().take_detail()
    }

    /// Forgets all messages that are not begun.
    pub(crate) fn discard_unsent(&self) {
        self.state.lock().discard_unsent(&self.context.stats);
    }

    /// The session has ended: gives the stream back. Returns what was known of it last.
    pub(crate) fn detach(&self) -> OutboxSnapshot {
        let mut state = self.state.lock();
        let snapshot = state.snapshot();
        state.discard_all(&self.context.stats);
        (state.stream, state.waker) = (None, None);
        snapshot
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.state.get_mut().discard_all(&self.context.stats);
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbox(..)")
    }
}

#[cfg(test)]
impl Outbox {
    /// The messages that the socket has not taken, for tests of clients without a socket.
    pub(crate) fn queued(&self) -> Vec<Utf8Bytes> {
        self.state.lock().queued()
    }
}

#[cfg(test)]
mod tests;
