//! All connections of a run: opens them, polls them, reads them and notices their ends.

use crate::connection::{Connection, Counts, Handler, Stage, Stop};
use crate::failure::Failure;
use crate::handshake;
use crate::losses::End;
use crate::options::Options;
use crate::peer::Peer;
use crate::socket::{self, Poller, Ready};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Size of the read buffer that all connections share.
const BUFFER: usize = 256 * 1024;
/// Reads of a full buffer from one connection before others get their turn.
const READS_PER_EVENT: usize = 16;
/// Number of source addresses, from 127.0.0.2 on. Each has its own 28,000 ephemeral ports.
const SOURCES: usize = 64;
/// Longest sleep of a step.
pub const MAX_SLEEP: Duration = Duration::from_millis(20);
/// Handshakes in flight while connections are opened.
pub const HANDSHAKES_IN_FLIGHT: usize = 256;

/// The connections of a run, each with an index as its ID.
pub struct Connections {
    poller: Poller,
    connections: Vec<Option<Connection>>,
    buffer: Box<[u8]>,
    options: Options,
    request: Vec<u8>,
    /// How many are opening and open.
    pub counts: Counts,
}

impl Connections {
    /// Room for `size` connections, none of them open.
    pub fn new(options: &Options, size: usize) -> Result<Connections, Failure> {
        Ok(Connections {
            poller: Poller::new().map_err(|error| Failure::of("epoll_create", error))?,
            connections: (0..size).map(|_| None).collect(),
            buffer: vec![0; BUFFER].into(),
            request: handshake::request(options, &options.path),
            options: options.clone(),
            counts: Counts::default(),
        })
    }

    /// Uses this path for connections that are opened from now on.
    pub fn set_path(&mut self, path: &str) {
        self.request = handshake::request(&self.options, path);
    }

    /// Opens these connections, at most `in_flight` at once, and returns when each is open or has failed.
    pub fn open_all(
        &mut self,
        mut ids: Range<usize>,
        in_flight: usize,
        handler: &mut impl Handler,
    ) -> Result<(), Failure> {
        loop {
            while self.counts.opening < in_flight
                && let Some(id) = ids.next()
            {
                self.open(id, handler)?;
            }
            if self.counts.opening == 0 && ids.is_empty() {
                return Ok(());
            }
            self.step(MAX_SLEEP, handler)?;
        }
    }

    /// Starts to open a connection. With `--at-once` the request is sent only when the connection is established.
    pub fn open(&mut self, id: usize, handler: &mut impl Handler) -> Result<(), Failure> {
        self.counts.opening += 1;
        let source = Ipv4Addr::new(127, 0, 0, 2 + (id % SOURCES) as u8);
        let socket = match socket::start_connect(source, self.options.addr) {
            Ok(socket) => socket,
            Err(error) => return self.end(id, End::Connect(error), handler),
        };
        // On loopback the connection is nearly always established now; if it failed, the write returns why.
        let is_immediate = !self.options.at_once;
        let sent = match if is_immediate { socket::write(&socket, &self.request) } else { Ok(0) } {
            Ok(sent) => sent,
            Err(error) => return self.end(id, End::Connect(error), handler),
        };
        let connection = Connection::new(socket, &self.request, sent);
        let interest = connection.interest();
        self.poller.add(&connection.socket, id, interest).map_err(|error| Failure::of("epoll_ctl", error))?;
        self.connections[id] = Some(connection);
        Ok(())
    }

    /// Returns an open connection, to send on.
    pub fn peer(&mut self, id: usize) -> Result<Peer<'_>, Failure> {
        match &mut self.connections[id] {
            Some(Connection { socket, out, stage: Stage::Open, .. }) => {
                Ok(Peer { id, now: Instant::now(), socket, out, poller: &self.poller })
            }
            _ => Err(Failure(format!("connection {id} isn't open"))),
        }
    }

    /// Closes all sockets without close frames.
    pub fn drop_all(&mut self) {
        self.connections.iter_mut().for_each(|connection| *connection = None);
        (self.counts.open, self.counts.opening) = (0, 0);
    }

    /// Handles received bytes, and waits at most `timeout` for them.
    pub fn step(&mut self, timeout: Duration, handler: &mut impl Handler) -> Result<(), Failure> {
        let timeout = if self.options.busy { Duration::ZERO } else { timeout };
        let events = self.poller.wait(timeout).map_err(|error| Failure::of("epoll_wait", error))?;
        for index in 0..events {
            self.handle(self.poller.ready(index), handler)?;
        }
        Ok(())
    }

    /// Handles received bytes for this long.
    pub fn run_for(&mut self, time: Duration, handler: &mut impl Handler) -> Result<(), Failure> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.step(left.min(MAX_SLEEP), handler)?;
        }
    }

    fn handle(&mut self, ready: Ready, handler: &mut impl Handler) -> Result<(), Failure> {
        let Some(Connection { socket, out, stage, .. }) = &mut self.connections[ready.id] else { return Ok(()) };
        if *stage == Stage::Connecting {
            return self.connected(ready.id, handler);
        }
        if ready.write {
            Peer { id: ready.id, now: Instant::now(), socket, out, poller: &self.poller }.flush()?;
        }
        if ready.read { self.receive(ready.id, handler) } else { Ok(()) }
    }

    /// Handles the result of `connect`.
    fn connected(&mut self, id: usize, handler: &mut impl Handler) -> Result<(), Failure> {
        let Some(Connection { socket, out, stage, .. }) = &mut self.connections[id] else { return Ok(()) };
        if let Err(error) = socket::connect_result(socket) {
            return self.end(id, End::Connect(error), handler);
        }
        let mut peer = Peer { id, now: Instant::now(), socket, out, poller: &self.poller };
        peer.update_interest()?;
        *stage = Stage::Handshake;
        peer.send(&self.request)
    }

    /// Reads until the socket has no more bytes, at most [`READS_PER_EVENT`] times.
    fn receive(&mut self, id: usize, handler: &mut impl Handler) -> Result<(), Failure> {
        for _ in 0..READS_PER_EVENT {
            let Some(connection) = &mut self.connections[id] else { break };
            let length = match socket::read(&connection.socket, &mut self.buffer) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    let end = connection.end_of_stream();
                    return self.end(id, end, handler);
                }
                Ok(Some(length)) => length,
                Err(error) if connection.stage == Stage::Open => return self.end(id, End::Broken(error), handler),
                Err(error) => return self.end(id, End::Connect(error), handler),
            };
            match connection.receive(id, &self.buffer[..length], &self.poller, &mut self.counts, handler) {
                Ok(()) => {}
                Err(Stop::Failure(failure)) => return Err(failure),
                Err(Stop::End(end)) => return self.end(id, end, handler),
            }
            if length < self.buffer.len() {
                break;
            }
        }
        Ok(())
    }

    fn end(&mut self, id: usize, end: End, handler: &mut impl Handler) -> Result<(), Failure> {
        match self.connections[id].take() {
            Some(Connection { stage: Stage::Open, .. }) => self.counts.open -= 1,
            _ => self.counts.opening -= 1,
        }
        handler.ended(id, &end)
    }
}
