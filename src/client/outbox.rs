//! A client's outbox: the queue of outgoing messages, and the requests for a ping or a close. No call waits for the
//! peer.
//!
//! `send` writes straight to the socket, under the outbox's lock, if the session is parked, the socket isn't blocked,
//! and the task has coop budget left; what is queued is written first. Otherwise the message is queued. While the
//! session runs, a call writes the queue only once it is large enough to be worth a write; the session writes the rest,
//! at the start and at the end of its poll. All writes hold the lock, so frames never interleave and order is kept.

mod state;

use super::close_reason::CloseReason;
use super::stats::SessionStats;
use crate::budget;
use crate::clock::Timestamp;
use crate::memory::MemoryAccount;
use crate::ws::{CloseDetail, Message, Stream};
use parking_lot::Mutex;
use state::{MEMORY_EXHAUSTED, OutboxState, Ping};
pub(crate) use state::{ReadState, Signals};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The outbox had no room for it.
    Full,
    /// The client is closing or disconnected.
    Closed,
}

/// What all outboxes of a gateway share.
#[derive(Debug)]
pub struct OutboxContext {
    /// The most bytes that may be queued for one client; each message counts 64 more than its payload.
    pub max_bytes: AtomicUsize,
    /// The counters that outboxes add to.
    pub stats: Arc<SessionStats>,
    /// The account of what is queued.
    pub memory: Arc<MemoryAccount>,
}

impl OutboxContext {
    fn max_bytes(&self) -> usize {
        self.max_bytes.load(Relaxed)
    }
}

/// A message to be queued.
pub(crate) struct Outgoing {
    pub(crate) message: Message,
    /// The payload is also in other outboxes, and is in the account of memory already.
    pub(crate) is_shared: bool,
}

impl From<Message> for Outgoing {
    fn from(message: Message) -> Self {
        Outgoing { message, is_shared: false }
    }
}

/// A client's queue of outgoing messages. Pings and closes are flags beside it, so a full queue doesn't block them.
pub struct Outbox {
    state: Mutex<OutboxState>,
    context: Arc<OutboxContext>,
}

/// The state of an outbox at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxSnapshot {
    /// Why the client is closing, or was closed; `None` while it is open.
    pub close_reason: Option<CloseReason>,
    /// The socket accepts no more, and something is left to write.
    pub is_blocked: bool,
    /// When the ping whose pong is awaited was written.
    pub ping_sent_at: Option<Timestamp>,
    /// Text and binary messages that the socket has accepted.
    pub messages_out: u64,
    /// Bytes that the socket has accepted, frame headers included.
    pub bytes_out: u64,
    /// Messages queued.
    pub outbox_messages: usize,
    /// Bytes queued, as they count against the limit.
    pub outbox_bytes: usize,
    /// The most bytes that were ever queued.
    pub outbox_peak_bytes: u32,
}

impl Outbox {
    /// An outbox without a socket: it queues until the session starts.
    pub fn new(context: Arc<OutboxContext>) -> Self {
        Outbox { state: Mutex::default(), context }
    }

    /// See [`GatewayClient::send`](super::GatewayClient::send).
    pub(crate) fn send(&self, message: Message) -> Result<(), SendError> {
        self.send_outgoing(message.into())
    }

    /// As [`send`](Self::send), for a message whose payload may be shared.
    pub(crate) fn send_outgoing(&self, message: Outgoing) -> Result<(), SendError> {
        self.update(|state| self.push(state, message))
    }

    /// As [`send`](Self::send), but a full outbox doesn't close the client.
    pub(crate) fn try_send(&self, message: Message) -> Result<(), SendError> {
        self.update(|state| {
            if state.close.is_none() && !state.try_make_room(message.payload().len(), &self.context) {
                return Err(SendError::Full);
            }
            self.push(state, message.into())
        })
    }

    fn push(&self, state: &mut OutboxState, message: Outgoing) -> Result<(), SendError> {
        if state.close.is_some() {
            return Err(SendError::Closed);
        }
        let pushed = state.push(message, &self.context);
        self.maybe_flush(state);
        state.count_queued(&self.context);
        pushed
    }

    /// Queues a message without writing. Only if the outbox has no room, acts as [`send`](Self::send), which first
    /// writes to make some. Returns whether the caller has to [`flush`](Self::flush): not if another task will, nor
    /// after `send`.
    pub(crate) fn enqueue(&self, message: Outgoing) -> Result<bool, SendError> {
        let mut state = self.state.lock();
        if state.close.is_none() && state.has_room(message.message.payload().len(), &self.context) {
            state.push(message, &self.context)?;
            state.count_queued(&self.context);
            return Ok(!std::mem::replace(&mut state.has_writer, true));
        }
        drop(state);
        self.send_outgoing(message).map(|()| false)
    }

    /// Writes what is queued, or leaves that to the session: wakes it if it is parked and the socket isn't blocked.
    pub(crate) fn flush(&self) {
        self.update(|state| self.maybe_flush(state));
    }

    /// Requests a close. Returns the close reason: the first one that was given.
    pub(crate) fn close(&self, reason: CloseReason) -> CloseReason {
        self.update(|state| *state.close.get_or_insert(reason))
    }

    /// Requests a close with a detail for the close frame and the record. Returns whether no close was requested
    /// before.
    pub(crate) fn close_with(&self, reason: CloseReason, detail: CloseDetail) -> bool {
        self.update(|state| state.close_with(reason, detail))
    }

    /// The account of memory of the gateway's clients.
    pub(crate) fn memory(&self) -> &Arc<MemoryAccount> {
        &self.context.memory
    }

    /// Bytes queued, as they count against the limit.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.state.lock().message_bytes()
    }

    /// Requests a close as [`CloseReason::Overloaded`]. Returns whether no close was requested before.
    pub(crate) fn close_overloaded(&self) -> bool {
        self.close_with(CloseReason::Overloaded, CloseDetail { requested_by: None, text: MEMORY_EXHAUSTED.into() })
    }

    /// A consistent snapshot.
    pub fn snapshot(&self) -> OutboxSnapshot {
        self.state.lock().snapshot()
    }

    /// Why the client is closing, or was closed; `None` while it is open.
    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.state.lock().close
    }

    /// Requests a ping, unless an earlier one has not been written yet.
    pub(crate) fn ping(&self) {
        self.update(|state| {
            if state.ping != Ping::Queued {
                state.ping = Ping::Requested;
            }
            self.maybe_flush(state);
        });
    }

    /// Behaves as if the ping had been written to a socket.
    #[cfg(test)]
    pub(crate) fn ping_sent(&self) {
        let mut state = self.state.lock();
        (state.ping, state.ping_sent_at) = (Ping::Sent, Timestamp::now());
    }

    /// Ends the session at once, without a close handshake. An earlier close reason prevails over `reason`.
    pub fn abort(&self, reason: CloseReason) {
        self.update(|state| state.abort(reason));
    }

    /// Changes the state under the lock. Wakes a parked session after that, if its signals have changed or it has to
    /// write.
    fn update<R>(&self, change: impl FnOnce(&mut OutboxState) -> R) -> R {
        let mut state = self.state.lock();
        let before = state.signals();
        let result = change(&mut state);
        let must_wake = state.signals() != before || state.can_write();
        let waker = if must_wake { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Flushes on behalf of a parked session if the current task has coop budget left; otherwise the session is woken.
    /// While the session runs, output is batched until it is worth a write.
    fn maybe_flush(&self, state: &mut OutboxState) {
        let is_parked = state.waker.is_some();
        let is_worthwhile = is_parked || state.should_flush(self.context.max_bytes());
        if is_worthwhile && state.can_write() && (!is_parked || budget::try_take()) {
            state.write_pending(&self.context);
        }
    }
}

/// The session's side.
impl Outbox {
    /// Starts the session: from now on messages are written to `stream`.
    pub(crate) fn attach(&self, stream: Arc<Stream>) {
        self.state.lock().stream = Some(stream);
    }

    /// Starts or continues the session's poll: writes what is queued, and batches output from now on. `is_writable`
    /// means that the blocked socket has become writable.
    pub(crate) fn resume(&self, is_writable: bool) -> Signals {
        let mut state = self.state.lock();
        state.waker = None;
        state.blocked &= !is_writable;
        state.write(&self.context);
        state.signals()
    }

    /// Queues whole control frames ahead of the messages, and clears `frames`.
    pub(crate) fn push_control(&self, frames: &mut Vec<u8>) {
        let mut state = self.state.lock();
        state.push_control(frames);
        frames.clear();
        self.maybe_flush(&mut state);
    }

    /// Whether the session should read another message.
    pub(crate) fn read_state(&self) -> ReadState {
        let state = self.state.lock();
        match state.close {
            Some(_) => ReadState::Closing,
            None if state.blocked && state.is_half_full(self.context.max_bytes()) => ReadState::Paused,
            None => ReadState::Open,
        }
    }

    /// Returns the round trip if `payload` is that of the latest ping and this is its first pong.
    pub(crate) fn on_pong(&self, payload: &[u8]) -> Option<Duration> {
        self.state.lock().on_pong(payload)
    }

    /// Writes the batched output and parks the session; or wakes it, if its turn ended before everything was
    /// written. Returns false, without keeping `waker`, if the signals are no longer those in `seen`: the session has
    /// to act on them first.
    pub(crate) fn park(&self, waker: &Waker, seen: Signals) -> bool {
        let mut state = self.state.lock();
        state.write(&self.context);
        if state.signals() != seen {
            return false;
        }
        if state.can_write() {
            waker.wake_by_ref();
        } else {
            state.waker = Some(waker.clone());
        }
        true
    }

    /// Whether the socket has accepted everything.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.state.lock().has_pending()
    }

    /// Bytes that the socket has accepted, frame headers included.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.state.lock().bytes_out
    }

    /// The text for the close frame, without the reason; empty if there is none.
    pub(crate) fn close_text(&self) -> Box<str> {
        self.state.lock().close_detail().map(|detail| detail.text.clone()).unwrap_or_default()
    }

    /// Drops all messages except a partly written one.
    pub(crate) fn discard_unsent(&self) {
        self.state.lock().discard_unsent(&self.context);
    }

    /// Ends the session: drops the queue and the stream. Returns the last snapshot, and the detail of the close.
    pub(crate) fn detach(&self) -> (OutboxSnapshot, Option<CloseDetail>) {
        let mut state = self.state.lock();
        let (snapshot, detail) = (state.snapshot(), state.close_detail().cloned());
        state.discard_all(&self.context);
        (state.stream, state.waker) = (None, None);
        (snapshot, detail)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.state.get_mut().discard_all(&self.context);
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbox(..)")
    }
}

#[cfg(test)]
impl Outbox {
    /// The queued messages, the oldest first, for tests of clients without a socket.
    pub(crate) fn queued(&self) -> Vec<Message> {
        self.state.lock().queued()
    }
}

#[cfg(test)]
mod tests;
