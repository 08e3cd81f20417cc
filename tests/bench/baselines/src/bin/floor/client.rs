//! One client: its socket, and the bytes that the socket didn't accept.

use crate::lock;
use aisopod_baselines::MAX_UNANSWERED;
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use test_support::frames::{FIN, PING, server_frame};
use tokio::net::TcpStream;

/// As long as the payload of the gateway's pings.
const PING_PAYLOAD: &[u8] = &[0, 0, 0, 1];

/// A client with more unsent bytes is disconnected.
const MAX_UNSENT: usize = 16 * 1024 * 1024;

/// A connected client. Any task may write to its socket.
pub struct Client {
    /// The socket.
    pub stream: TcpStream,
    /// Bytes that must be written first. While there are any, a task waits to write them.
    unsent: Mutex<Vec<u8>>,
    /// Pings in a row without an answer.
    pub unanswered: AtomicU8,
}

impl Client {
    /// A client whose handshake is complete.
    pub fn new(stream: TcpStream) -> Self {
        Client { stream, unsent: Mutex::default(), unanswered: AtomicU8::new(0) }
    }

    /// The file descriptor of its socket.
    pub fn descriptor(&self) -> usize {
        self.stream.as_raw_fd() as usize
    }

    /// Writes as much as the socket accepts, and the rest later. Returns whether everything was written.
    pub fn send(self: &Arc<Self>, bytes: &[u8]) -> io::Result<bool> {
        let mut unsent = lock(&self.unsent);
        if !unsent.is_empty() {
            if unsent.len() + bytes.len() > MAX_UNSENT {
                self.disconnect();
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

    /// Writes all unsent bytes.
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

    /// Sends a ping, or disconnects a client that hasn't answered the last ones.
    pub fn ping(self: &Arc<Self>) {
        if self.unanswered.fetch_add(1, Relaxed) >= MAX_UNANSWERED {
            self.disconnect();
            return;
        }
        // The task of a broken connection ends by itself.
        let _ = self.send(&server_frame(FIN | PING, PING_PAYLOAD));
    }

    /// Ends the stream, which ends the client's task.
    fn disconnect(&self) {
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
    }
}
