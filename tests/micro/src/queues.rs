//! Queues of outgoing messages: the outbox, and two that it could have been.

use crate::outbox::{Bounds, Outbox};
use aisopod_gateway::Utf8Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// As many as the gateway's default.
const MESSAGES: usize = 1024;
const BOUNDS: Bounds = Bounds { messages: MESSAGES, bytes: 4 * 1024 * 1024 };

/// A bounded queue between the tasks of a process.
pub trait Queue: Default {
    /// Queues a message, for which there must be room.
    fn push(&mut self, message: Utf8Bytes);
    /// The oldest message.
    fn pop(&mut self) -> Option<Utf8Bytes>;
}

/// The gateway's, under the lock that it has there.
#[derive(Default)]
pub struct Ours(Mutex<Outbox<Utf8Bytes>>);

impl Queue for Ours {
    fn push(&mut self, message: Utf8Bytes) {
        let mutex = &self.0;
        mutex.lock().push(message, &BOUNDS).expect("room");
    }
    fn pop(&mut self) -> Option<Utf8Bytes> {
        let mutex = &self.0;
        mutex.lock().pop()
    }
}

/// The standard library's queue under the standard library's lock: bounded in messages, and nobody counts bytes.
#[derive(Default)]
pub struct Plain(std::sync::Mutex<VecDeque<Utf8Bytes>>);

impl Queue for Plain {
    fn push(&mut self, message: Utf8Bytes) {
        let mutex = &self.0;
        let mut queue = mutex.lock().expect("nobody panicked");
        assert!(queue.len() < MESSAGES, "room");
        queue.push_back(message);
    }
    fn pop(&mut self) -> Option<Utf8Bytes> {
        let mutex = &self.0;
        mutex.lock().expect("nobody panicked").pop_front()
    }
}

/// tokio's channel.
pub struct Channel {
    sender: mpsc::Sender<Utf8Bytes>,
    receiver: mpsc::Receiver<Utf8Bytes>,
}

impl Default for Channel {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MESSAGES);
        Channel { sender, receiver }
    }
}

impl Queue for Channel {
    fn push(&mut self, message: Utf8Bytes) {
        self.sender.try_send(message).expect("room");
    }
    fn pop(&mut self) -> Option<Utf8Bytes> {
        self.receiver.try_recv().ok()
    }
}
