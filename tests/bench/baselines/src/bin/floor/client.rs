//! One client: its socket, and what the socket had no room for.

use crate::frames::{FINAL_PING, PING_PAYLOAD, encode};
use crate::lock;
use aisopod_peers::UNANSWERED;
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;

/// A client that leaves more than this unread is dropped.
const MAX_UNSENT: usize = 16 * 1024 * 1024;

/// A connected client. Whoever has something for it writes to its socket.
pub struct Client {
    /// Its socket.
    pub stream: TcpStream,
    /// What comes before anything else. While there is something, a task waits to write it.
    unsent: Mutex<Vec<u8>>,
    /// Pings in a row that were not answered.
    pub unanswered: AtomicU8,
}

impl Client {
    /// A client whose handshake is done.
    pub fn new(stream: TcpStream) -> Self {
        Client { stream, unsent: Mutex::default(), unanswered: AtomicU8::new(0) }
    }

    /// The number of its socket.
    pub fn descriptor(&self) -> usize {
        self.stream.as_raw_fd() as usize
    }

    /// Sends now what the socket takes, and the rest as soon as it can. Says whether all is sent.
    pub fn send(self: &Arc<Self>, bytes: &[u8]) -> io::Result<bool> {
        let mut unsent = lock(&self.unsent);
        if !unsent.is_empty() {
            if unsent.len() + bytes.len() > MAX_UNSENT {
                self.cut();
                return Err(ErrorKind::OutOfMemory.into());
            }
            unsent.extend_from_slice(bytes);
            return Ok(false);
        }
        let sent = match self.stream.try_write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if sent == bytes.len() {
            return Ok(true);
        }
        unsent.extend_from_slice(&bytes[sent..]);
        let client = self.clone();
        tokio::spawn(async move { client.flush().await });
        Ok(false)
    }

    /// Writes what is unsent, until nothing is.
    pub async fn flush(&self) -> io::Result<()> {
        loop {
            self.stream.writable().await?;
            let mut unsent = lock(&self.unsent);
            if unsent.is_empty() {
                return Ok(());
            }
            match self.stream.try_write(&unsent) {
                Ok(sent) if sent == unsent.len() => *unsent = Vec::new(),
                Ok(sent) => drop(unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Pings it, or drops it if it has not answered the last ones.
    pub fn ping(self: &Arc<Self>) {
        if self.unanswered.fetch_add(1, Relaxed) >= UNANSWERED {
            self.cut();
            return;
        }
        let mut frame = Vec::new();
        encode(FINAL_PING, PING_PAYLOAD, &mut frame);
        // One that is broken finds out by itself.
        let _ = self.send(&frame);
    }

    /// Its task sees the end of the stream.
    fn cut(&self) {
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
    }
}
