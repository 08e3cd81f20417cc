//! One connection: the response to its handshake and the frames that arrive on it. Pings and close frames are answered
//! here; messages are handed to a `Handler`.

use crate::failure::Failure;
use crate::handshake::{self, Response};
use crate::losses::End;
use crate::peer::{Outbound, Peer};
use crate::socket::{Interest, Poller};
use rustix::fd::OwnedFd;
use std::time::Instant;
use test_support::frames::{Chunk, Event, FrameReader, Violation};

/// What a mode does with its connections.
pub trait Handler {
    /// The handshake is complete; of a silent connection, `connect` is.
    fn opened(&mut self, _peer: &mut Peer<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Part of a message was received.
    fn message(&mut self, peer: &mut Peer<'_>, chunk: Chunk<'_>) -> Result<(), Failure>;

    /// A connection ended. Fails, unless the mode counts such ends.
    fn ended(&mut self, id: usize, end: &End) -> Result<(), Failure> {
        Err(Failure::Run(format!("connection {id}: {end}")))
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq)]
pub enum Stage {
    /// The result of `connect`.
    Connecting,
    /// The response to the handshake request.
    Handshake,
    /// Frames.
    Open,
    /// Only the end of the stream: it never sent a request.
    Silent,
}

/// One connection.
pub struct Connection {
    /// The socket; dropping it closes the connection.
    pub socket: OwnedFd,
    /// What the connection waits for.
    pub stage: Stage,
    /// Its sending side.
    pub out: Outbound,
    frames: FrameReader,
    /// The beginning of the response, if it arrives in several reads.
    head: Vec<u8>,
    /// The server answered our close frame.
    close_received: bool,
}

/// Counts over all connections.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Connections that are neither open nor ended.
    pub opening: usize,
    /// Connections that are open.
    pub open: usize,
    /// Connections that opened, or failed to, since the start.
    pub settled: u64,
    /// Pings answered.
    pub pings: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Calls of `epoll_wait`.
    pub polls: u64,
    /// Those of them that returned no event.
    pub empty_polls: u64,
}

impl Counts {
    /// Moves one connection from opening to open.
    pub fn opened(&mut self) {
        self.opening -= 1;
        self.open += 1;
        self.settled += 1;
    }
}

/// Why the bytes of a connection aren't read any further.
pub enum Stop {
    /// The connection has ended.
    End(End),
    /// The run has failed.
    Failure(Failure),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Stop {
        Stop::End(End::Violation(violation))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

impl Connection {
    /// A new connection, on which `sent` bytes of the request were sent.
    pub fn new(socket: OwnedFd, request: &[u8], sent: usize) -> Connection {
        let (stage, out) = match sent {
            0 => (Stage::Connecting, Outbound::default()),
            _ => (Stage::Handshake, Outbound::with_unsent(&request[sent..])),
        };
        Connection { socket, stage, out, frames: FrameReader::default(), head: Vec::new(), close_received: false }
    }

    /// What the socket must be polled for.
    pub fn interest(&self) -> Interest {
        if self.stage == Stage::Connecting { Interest::Connect } else { self.out.interest() }
    }

    /// What the end of the stream means at this stage.
    pub fn end_of_stream(&self) -> End {
        match self.stage {
            Stage::Open if self.close_received => End::Finished,
            Stage::Open | Stage::Silent => End::NoCloseFrame,
            Stage::Connecting | Stage::Handshake => End::Unanswered,
        }
    }

    /// Handles received bytes.
    pub fn receive(
        &mut self,
        id: usize,
        bytes: &[u8],
        poller: &Poller,
        counts: &mut Counts,
        handler: &mut impl Handler,
    ) -> Result<(), Stop> {
        let Connection { socket, stage, out, frames, head, close_received } = self;
        let mut peer = Peer { id, now: Instant::now(), socket, out, poller };
        match stage {
            Stage::Silent => return Ok(()),
            Stage::Open => return read_frames(frames, bytes, &mut peer, close_received, counts, handler),
            Stage::Connecting | Stage::Handshake => head.extend_from_slice(bytes),
        }
        match handshake::response(head) {
            Response::Incomplete => Ok(()),
            Response::Refused(status) => Err(Stop::End(End::Refused(status))),
            Response::Upgraded(length) => {
                let head = std::mem::take(head);
                *stage = Stage::Open;
                counts.opened();
                handler.opened(&mut peer)?;
                read_frames(frames, &head[length..], &mut peer, close_received, counts, handler)
            }
        }
    }
}

fn read_frames(
    frames: &mut FrameReader,
    bytes: &[u8],
    peer: &mut Peer<'_>,
    close_received: &mut bool,
    counts: &mut Counts,
    handler: &mut impl Handler,
) -> Result<(), Stop> {
    frames.read(bytes, |event| match event {
        Event::Data(chunk) => Ok(handler.message(peer, chunk)?),
        Event::Ping(payload) => {
            counts.pings += 1;
            Ok(peer.pong(payload)?)
        }
        Event::Pong => Ok(()),
        Event::Close(..) if peer.out.close_sent => {
            *close_received = true;
            Ok(())
        }
        Event::Close(code, reason) => {
            peer.close()?;
            Err(Stop::End(End::Closed(code, String::from_utf8_lossy(reason).into_owned())))
        }
    })
}
