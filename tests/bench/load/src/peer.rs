//! The sending side of one connection. Bytes that the socket doesn't accept are kept until it does.

use crate::failure::Failure;
use crate::socket::{self, Interest, Poller};
use rustix::fd::OwnedFd;
use std::time::Instant;
use test_support::frames::{CLOSE, FIN, PONG, client_frame};

const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

/// A connection's unsent bytes and its close state.
#[derive(Default)]
pub struct Outbound {
    /// Nearly always empty, and then without an allocation.
    unsent: Vec<u8>,
    /// Whether a close frame was sent.
    pub close_sent: bool,
}

impl Outbound {
    /// An outbound state with the rest of a partial write.
    pub fn with_unsent(rest: &[u8]) -> Outbound {
        Outbound { unsent: rest.to_vec(), close_sent: false }
    }

    /// What the socket must be polled for.
    pub fn interest(&self) -> Interest {
        if self.unsent.is_empty() { Interest::Read } else { Interest::ReadWrite }
    }
}

/// One connection as a mode sees it.
pub struct Peer<'a> {
    /// Its index.
    pub id: usize,
    /// When the bytes being handled were read.
    pub now: Instant,
    /// Its socket, non-blocking.
    pub socket: &'a OwnedFd,
    /// What it couldn't send yet.
    pub out: &'a mut Outbound,
    /// Polls the socket.
    pub poller: &'a Poller,
}

impl Peer<'_> {
    /// Sends whole frames. A broken connection is noticed by its next read, not here.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.out.unsent.is_empty() {
            self.out.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = socket::write(self.socket, bytes).unwrap_or(bytes.len());
        if sent < bytes.len() {
            self.out.unsent.extend_from_slice(&bytes[sent..]);
            self.update_interest()?;
        }
        Ok(())
    }

    /// Sends kept bytes, now that the socket has room.
    pub fn flush(&mut self) -> Result<(), Failure> {
        if self.out.unsent.is_empty() {
            return Ok(());
        }
        let sent = socket::write(self.socket, &self.out.unsent).unwrap_or(self.out.unsent.len());
        if sent == self.out.unsent.len() {
            self.out.unsent = Vec::new();
            return self.update_interest();
        }
        self.out.unsent.drain(..sent);
        Ok(())
    }

    /// Answers a ping.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.send(&client_frame(FIN | PONG, payload))
    }

    /// Sends a close frame with code 1000.
    pub fn close(&mut self) -> Result<(), Failure> {
        self.out.close_sent = true;
        self.send(&client_frame(FIN | CLOSE, &NORMAL))
    }

    /// Polls the socket for what the connection waits for now.
    pub fn update_interest(&self) -> Result<(), Failure> {
        let interest = self.out.interest();
        self.poller.modify(self.socket, self.id, interest).map_err(|error| Failure::of("epoll_ctl", error))
    }
}
