//! The sending side of one connection. What the socket has no room for is kept and sent when it has.

use crate::failure::Failure;
use crate::frame::{self, CLOSE};
use crate::socket::{self, Interest, Poller};
use rustix::fd::OwnedFd;
use std::time::Instant;

/// The code of a normal close.
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

/// What is to be sent, and what the connection waits for.
#[derive(Default)]
pub struct Outgoing {
    /// Begun, or behind something begun. Empty nearly always, and then without an allocation.
    bytes: Vec<u8>,
    /// Nothing is read.
    pub deaf: bool,
    /// Our close frame is out.
    pub close_sent: bool,
}

impl Outgoing {
    /// With this rest of something that was begun.
    pub fn begun(rest: &[u8]) -> Outgoing {
        Outgoing { bytes: rest.to_vec(), ..Outgoing::default() }
    }

    /// What to watch the socket for.
    pub fn interest(&self) -> Interest {
        match (self.deaf, self.bytes.is_empty()) {
            (false, true) => Interest::Read,
            (false, false) => Interest::ReadWrite,
            (true, false) => Interest::Write,
            (true, true) => Interest::Nothing,
        }
    }
}

/// An open connection, as those see it who answer what comes on it.
pub struct Peer<'a> {
    /// Its number.
    pub id: usize,
    /// When the bytes that are being handled were read.
    pub now: Instant,
    /// The rest is for sending.
    pub socket: &'a OwnedFd,
    /// What waits.
    pub out: &'a mut Outgoing,
    /// Where the socket is watched.
    pub poller: &'a Poller,
}

impl Peer<'_> {
    /// Sends whole frames. A broken connection is noticed by its next read, not here.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.out.bytes.is_empty() {
            self.out.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = socket::write(self.socket, bytes).unwrap_or(bytes.len());
        if sent < bytes.len() {
            self.out.bytes.extend_from_slice(&bytes[sent..]);
            self.watch()?;
        }
        Ok(())
    }

    /// Sends what waits, now that there is room.
    pub fn flush(&mut self) -> Result<(), Failure> {
        if self.out.bytes.is_empty() {
            return Ok(());
        }
        let sent = socket::write(self.socket, &self.out.bytes).unwrap_or(self.out.bytes.len());
        if sent == self.out.bytes.len() {
            self.out.bytes = Vec::new();
            return self.watch();
        }
        self.out.bytes.drain(..sent);
        Ok(())
    }

    /// Whether all is out.
    pub fn is_flushed(&self) -> bool {
        self.out.bytes.is_empty()
    }

    /// Answers a ping.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let (frame, length) = frame::pong(payload);
        self.send(&frame[..length])
    }

    /// Begins the closing handshake.
    pub fn close(&mut self) -> Result<(), Failure> {
        self.out.close_sent = true;
        let (mut frame, length) = frame::pong(&NORMAL);
        // A close frame differs in its first byte only.
        frame[0] ^= frame::PONG ^ CLOSE;
        self.send(&frame[..length])
    }

    /// Stops reading, or begins again.
    pub fn set_deaf(&mut self, deaf: bool) -> Result<(), Failure> {
        self.out.deaf = deaf;
        self.watch()
    }

    /// Watches the socket for what is wanted now.
    pub fn watch(&self) -> Result<(), Failure> {
        self.poller
            .rewatch(self.socket, self.id, self.out.interest())
            .map_err(|error| Failure::doing("epoll_ctl", error))
    }
}
