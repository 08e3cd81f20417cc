//! The floor under the floor: pings to sockets of which nothing is read any more, one system call each.

use crate::{PARTS, frames, lock};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::interval;

/// The clients.
#[derive(Default)]
pub struct Deaf(Mutex<Vec<TcpStream>>);

impl Deaf {
    /// Takes in a client whose handshake is done.
    pub fn enter(&self, stream: tokio::net::TcpStream) {
        // Out of the runtime: what the client sends wakes nobody.
        if let Ok(stream) = stream.into_std() {
            lock(&self.0).push(stream);
        }
    }

    /// Pings everybody once in each period, for ever.
    pub async fn ping(&self, period: Duration) {
        let mut ping = Vec::new();
        frames::encode(frames::FINAL_PING, frames::PING_PAYLOAD, &mut ping);
        let mut parts = interval(period / PARTS as u32);
        for part in (0..PARTS).cycle() {
            parts.tick().await;
            for mut stream in lock(&self.0).iter().skip(part).step_by(PARTS) {
                // One that is gone stays among them.
                let _ = stream.write(&ping);
            }
        }
    }
}
