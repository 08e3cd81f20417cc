//! What others ask of a session: messages to send, a ping, a close. Nobody waits here.

use super::close::CloseReason;
use super::outbox::{Bounds, Outbox};
use super::stats::Stats;
use parking_lot::Mutex;
use std::sync::Arc;
use std::task::Waker;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The outbox had no room for it; the client is closed as a slow consumer.
    Full,
    /// The client is being closed, or is gone.
    Closed,
}

/// A client's outbox, and the flags beside it that can't be crowded out by messages.
#[derive(Debug)]
pub struct Sender {
    asked: Mutex<Asked>,
    bounds: Bounds,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Asked {
    outbox: Outbox<Utf8Bytes>,
    /// The first reason given; it stays.
    close: Option<CloseReason>,
    /// A ping is to be sent; taken by the session.
    ping: bool,
    /// The session is to end without a close handshake.
    cut: bool,
    /// There only while the session waits: what a session asks of itself wakes nobody.
    waker: Option<Waker>,
}

/// What the session has to do beside sending messages.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) close: Option<CloseReason>,
    pub(super) ping: bool,
    pub(super) cut: bool,
}

impl Sender {
    /// An empty outbox with these bounds, counted in `stats`.
    pub fn new(bounds: Bounds, stats: Arc<Stats>) -> Self {
        Sender { asked: Mutex::default(), bounds, stats }
    }

    pub(super) fn send(&self, text: Utf8Bytes) -> Result<(), SendError> {
        let bytes = text.len() as u64;
        self.ask(|asked| {
            if asked.close.is_some() {
                return Err(SendError::Closed);
            }
            if asked.outbox.push(text, &self.bounds).is_err() {
                asked.close = Some(CloseReason::SlowConsumer);
                return Err(SendError::Full);
            }
            self.stats.outbox_bytes.add(bytes);
            self.stats.outbox_largest.reach(asked.outbox.bytes() as u64);
            Ok(())
        })
    }

    /// The first reason wins and is returned.
    pub(super) fn close(&self, reason: CloseReason) -> CloseReason {
        self.ask(|asked| *asked.close.get_or_insert(reason))
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.asked.lock().close
    }

    pub(super) fn ping(&self) {
        self.ask(|asked| asked.ping = true);
    }

    /// Ends the session at once, without a close handshake, for `reason` unless there is an earlier one.
    pub fn cut(&self, reason: CloseReason) {
        self.ask(|asked| {
            asked.close.get_or_insert(reason);
            asked.cut = true;
        });
    }

    /// Changes what is asked, and wakes the session after the lock is released.
    fn ask<R>(&self, change: impl FnOnce(&mut Asked) -> R) -> R {
        let mut asked = self.asked.lock();
        let result = change(&mut asked);
        let waker = asked.waker.take();
        drop(asked);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// For the session: the requests, of which a ping is returned once.
    pub(super) fn take_requests(&self) -> Requests {
        let mut asked = self.asked.lock();
        asked.waker = None;
        Requests { close: asked.close, ping: std::mem::take(&mut asked.ping), cut: asked.cut }
    }

    /// For the session: the next message.
    pub(super) fn pop(&self) -> Option<Utf8Bytes> {
        let message = self.asked.lock().outbox.pop()?;
        self.stats.outbox_bytes.sub(message.len() as u64);
        Some(message)
    }

    /// For the session: whether so much waits that it should read nothing more that calls for answers.
    pub(super) fn is_half_full(&self) -> bool {
        self.asked.lock().outbox.is_half_full(&self.bounds)
    }

    /// For the session before it waits. False, and no waker kept, when something new was asked meanwhile;
    /// messages count as new only if they can be written.
    pub(super) fn park(&self, waker: &Waker, seen: Option<CloseReason>, can_write: bool) -> bool {
        let mut asked = self.asked.lock();
        let news = asked.ping || asked.cut || asked.close != seen || (can_write && !asked.outbox.is_empty());
        if !news {
            asked.waker = Some(waker.clone());
        }
        !news
    }

    /// Forgets all messages.
    pub(super) fn clear(&self) {
        let mut asked = self.asked.lock();
        self.stats.outbox_bytes.sub(asked.outbox.bytes() as u64);
        asked.outbox.clear();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender::new(Bounds { messages: 2, bytes: 8 }, Arc::default())
    }

    #[test]
    fn the_first_close_reason_wins() {
        let sender = sender();
        assert_eq!(sender.close(CloseReason::Kicked), CloseReason::Kicked);
        assert_eq!(sender.close(CloseReason::Draining), CloseReason::Kicked);
        assert_eq!(sender.send("late".into()), Err(SendError::Closed));
    }

    #[test]
    fn a_full_outbox_makes_a_slow_consumer() {
        let sender = sender();
        sender.send("12345".into()).unwrap();
        assert_eq!(sender.send("6789".into()), Err(SendError::Full));
        assert_eq!(sender.take_requests().close, Some(CloseReason::SlowConsumer));
    }

    #[test]
    fn the_gauge_follows_the_queue() {
        let sender = sender();
        sender.send("12345".into()).unwrap();
        sender.send("678".into()).unwrap();
        assert_eq!(sender.stats.outbox_bytes.get(), 8);
        sender.pop().unwrap();
        assert_eq!(sender.stats.outbox_bytes.get(), 3);
        let stats = sender.stats.clone();
        drop(sender);
        assert_eq!((stats.outbox_bytes.get(), stats.outbox_largest.get()), (0, 8));
    }

    #[test]
    fn a_session_does_not_wait_over_something_new() {
        let sender = sender();
        assert!(sender.park(Waker::noop(), None, true));
        sender.ping();
        assert!(!sender.park(Waker::noop(), None, true));
        assert!(sender.take_requests().ping);
        assert!(!sender.take_requests().ping);
        sender.send("x".into()).unwrap();
        assert!(!sender.park(Waker::noop(), None, true));
        assert!(sender.park(Waker::noop(), None, false), "a blocked write waits for the socket");
        sender.close(CloseReason::Kicked);
        assert!(!sender.park(Waker::noop(), None, false));
    }
}
