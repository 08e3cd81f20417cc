//! All connections: opening them, waiting for all at once, reading, noticing their ends. What comes on one is
//! `connection`'s business.

use crate::args::{Mode, Options};
use crate::connection::{Connection, Handler, Stage, Stop, Tally};
use crate::failure::Failure;
use crate::handshake;
use crate::losses::End;
use crate::patience::Patience;
use crate::peer::Peer;
use crate::socket::{self, Poller, Ready};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::{Duration, Instant};

/// One buffer for all connections.
const BUFFER: usize = 256 * 1024;
/// So many full buffers are read from one connection before the others have their turn.
const READS_AT_ONCE: usize = 16;
/// How long a step may sleep where nothing else says it.
pub const MOMENT: Duration = Duration::from_millis(20);

/// The connections, each with its number.
pub struct Crowd {
    poller: Poller,
    connections: Vec<Option<Connection>>,
    buffer: Box<[u8]>,
    request: Vec<u8>,
    options: Options,
    /// Room in the kernel for what the server sends; as the system wants it if not given.
    pub receive_buffer: Option<usize>,
    /// What has happened.
    pub tally: Tally,
}

impl Crowd {
    /// With so many numbers, and no connection yet.
    pub fn new(options: &Options, size: usize) -> Result<Crowd, Failure> {
        Ok(Crowd {
            poller: Poller::new().map_err(|error| Failure::doing("epoll_create", error))?,
            connections: (0..size).map(|_| None).collect(),
            buffer: vec![0; BUFFER].into(),
            request: handshake::request(options),
            options: options.clone(),
            receive_buffer: None,
            tally: Tally::default(),
        })
    }

    /// Opens these connections, at most so many at once, and returns when each is open or has failed.
    pub fn open_all(&mut self, ids: Range<usize>, at_once: usize, handler: &mut impl Handler) -> Result<(), Failure> {
        let mut patience = Patience::new(self.options.patience);
        let (all, mut ids) = (ids.len(), ids);
        loop {
            while self.tally.opening < at_once
                && let Some(id) = ids.next()
            {
                self.open(id, handler)?;
            }
            if self.tally.opening == 0 && ids.is_empty() {
                return Ok(());
            }
            self.step(MOMENT, handler)?;
            let (opening, open) = (self.tally.opening, self.tally.open);
            patience.check(self.tally.settled, || format!("{opening} of {all} handshakes, with {open} open"))?;
        }
    }

    /// Begins to open one. In a storm the request waits until all are begun.
    pub fn open(&mut self, id: usize, handler: &mut impl Handler) -> Result<(), Failure> {
        self.tally.opening += 1;
        let from = Ipv4Addr::new(127, 0, 0, 2 + (id % usize::from(self.options.sources)) as u8);
        let socket = match socket::start(from, self.options.addr, self.receive_buffer) {
            Ok(socket) => socket,
            Err(error) => return self.end(id, End::Connect(error), handler),
        };
        // Nearly always the connection is there already; if it failed already, the write says why.
        let eager = !matches!(self.options.mode, Mode::Silent | Mode::Storm);
        let sent = if eager { socket::write(&socket, &self.request) } else { Ok(0) };
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => return self.end(id, End::Connect(error), handler),
        };
        let connection = Connection::new(socket, &self.request, sent);
        let interest = connection.interest();
        self.poller.watch(&connection.socket, id, interest).map_err(|error| Failure::doing("epoll_ctl", error))?;
        self.connections[id] = Some(connection);
        Ok(())
    }

    /// An open connection, to send on.
    pub fn peer(&mut self, id: usize) -> Option<Peer<'_>> {
        let connection = self.connections[id].as_mut().filter(|connection| connection.stage == Stage::Open)?;
        let Connection { socket, out, .. } = connection;
        Some(Peer { id, now: Instant::now(), socket, out, poller: &self.poller })
    }

    /// Leaves all connections without a word.
    pub fn leave(&mut self) {
        self.connections.iter_mut().for_each(|connection| *connection = None);
        (self.tally.open, self.tally.opening) = (0, 0);
    }

    /// Handles what has come, waiting at most so long for it.
    pub fn step(&mut self, at_most: Duration, handler: &mut impl Handler) -> Result<(), Failure> {
        let timeout = if self.options.busy { Duration::ZERO } else { at_most };
        let count = self.poller.wait(timeout).map_err(|error| Failure::doing("epoll_wait", error))?;
        self.tally.polls += 1;
        self.tally.empty_polls += u64::from(count == 0);
        for index in 0..count {
            self.handle(self.poller.ready(index), handler)?;
        }
        Ok(())
    }

    fn handle(&mut self, ready: Ready, handler: &mut impl Handler) -> Result<(), Failure> {
        let Some(connection) = &self.connections[ready.id] else { return Ok(()) };
        if connection.stage == Stage::Connecting {
            return self.connected(ready.id, handler);
        }
        let deaf = connection.out.deaf;
        if ready.write {
            let Some(Connection { socket, out, .. }) = &mut self.connections[ready.id] else { return Ok(()) };
            Peer { id: ready.id, now: Instant::now(), socket, out, poller: &self.poller }.flush()?;
        }
        if deaf && ready.end {
            return self.end(ready.id, End::Cut, handler);
        }
        if ready.read && !deaf { self.receive(ready.id, handler) } else { Ok(()) }
    }

    /// `connect` has ended.
    fn connected(&mut self, id: usize, handler: &mut impl Handler) -> Result<(), Failure> {
        let Some(Connection { socket, out, stage, .. }) = &mut self.connections[id] else { return Ok(()) };
        if let Err(error) = socket::connected(socket) {
            return self.end(id, End::Connect(error), handler);
        }
        let mut peer = Peer { id, now: Instant::now(), socket, out, poller: &self.poller };
        peer.watch()?;
        if self.options.mode == Mode::Silent {
            *stage = Stage::Open;
            self.tally.opened();
            return handler.opened(&mut peer);
        }
        *stage = Stage::Handshake;
        peer.send(&self.request)
    }

    /// Reads a connection empty.
    fn receive(&mut self, id: usize, handler: &mut impl Handler) -> Result<(), Failure> {
        for _ in 0..READS_AT_ONCE {
            let Some(connection) = &mut self.connections[id] else { break };
            let length = match socket::read(&connection.socket, &mut self.buffer) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    let end = connection.end_of_stream();
                    return self.end(id, end, handler);
                }
                Ok(Some(length)) => length,
                Err(error) => return self.end(id, End::Broken(error), handler),
            };
            self.tally.bytes += length as u64;
            let bytes = &self.buffer[..length];
            match connection.take(id, bytes, &self.poller, self.options.mode, &mut self.tally, handler) {
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
            Some(Connection { stage: Stage::Open, .. }) => self.tally.open -= 1,
            _ => {
                self.tally.opening -= 1;
                self.tally.settled += 1;
            }
        }
        handler.ended(id, &end)
    }
}
