//! Newcomers: one after the other connects, is greeted and leaves, as a client does that starts during an attack. An
//! operator does the same at `ops.listen`, and reads what the gateway holds.

use crate::gateway::{Addresses, Credential};
use crate::samples::{Quantiles, Samples};
use crate::{priority, status};
use load::handshake::{self, Response};
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Pause between two newcomers.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a newcomer is patient.
const PATIENCE: Duration = Duration::from_secs(3);

/// How newcomers fared.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// How many tried.
    pub tried: u64,
    /// How many got in.
    pub succeeded: u64,
    /// Why the first of the others didn't.
    pub failure: Option<String>,
    /// How long it took those that got in, in milliseconds.
    pub latency: Quantiles,
}

/// What was seen from outside during an attack.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Clients.
    pub clients: Arrivals,
    /// Requests for `/status` at `ops.listen`, each on a connection of its own.
    pub operators: Arrivals,
    /// The most bytes that `/status` reported as held for peers.
    pub held_bytes: u64,
}

/// Connects newcomers until `is_over`.
pub fn run(addresses: Addresses, is_over: &AtomicBool) -> Watch {
    priority::reset();
    let Addresses { clients, ops } = addresses;
    let request = Credential::Healthy.request(clients);
    let (mut watch, mut times) = (Watch::default(), [Samples::default(), Samples::default()]);
    while !is_over.load(Relaxed) {
        let start = Instant::now();
        watch.clients.count(greet(clients, &request), &mut times[0], start);
        let start = Instant::now();
        let report = status::read(ops, PATIENCE);
        if let Ok(report) = &report {
            watch.held_bytes = watch.held_bytes.max(status::held_bytes(report));
        }
        watch.operators.count(report.map(drop), &mut times[1], start);
        std::thread::sleep(PAUSE);
    }
    watch.clients.latency = times[0].quantiles();
    watch.operators.latency = times[1].quantiles();
    watch
}

impl Arrivals {
    fn count(&mut self, result: io::Result<()>, times: &mut Samples, start: Instant) {
        self.tried += 1;
        match result {
            Ok(()) => {
                self.succeeded += 1;
                times.record(0, start.elapsed());
            }
            Err(error) => {
                self.failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Connects, and waits for the response to the handshake.
fn greet(addr: SocketAddrV4, request: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr.into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(io::Error::other("dropped"));
        }
        head.extend_from_slice(&buffer[..length]);
        match handshake::response(&head) {
            Response::Incomplete => {}
            Response::Refused(status) => return Err(io::Error::other(status)),
            Response::Upgraded(_) => return Ok(()),
        }
    }
}
