//! One connection: the handshake's answer and the frames that come on it. Pings and close frames are answered here; what
//! the messages mean is the business of a `Handler`.

use crate::args::Mode;
use crate::failure::Failure;
use crate::frame::{Event, FrameReader, Part, Violation};
use crate::handshake::{self, Answer};
use crate::losses::End;
use crate::peer::{Outgoing, Peer};
use crate::socket::{Interest, Poller};
use rustix::fd::OwnedFd;
use std::time::Instant;

/// What a mode does with its connections.
pub trait Handler {
    /// The handshake is done, or in silent mode the connection is there.
    fn opened(&mut self, _peer: &mut Peer<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// A piece of a message has come.
    fn data(&mut self, peer: &mut Peer<'_>, part: Part<'_>) -> Result<(), Failure>;

    /// A connection has ended that wasn't left. Fails unless a mode lives with it.
    fn ended(&mut self, id: usize, end: &End) -> Result<(), Failure> {
        Err(Failure::Run(format!("connection {id}: {end}")))
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq)]
pub enum Stage {
    /// The end of `connect`.
    Connecting,
    /// The answer to the request.
    Handshake,
    /// Frames.
    Open,
}

/// One connection.
pub struct Connection {
    /// Closed with it.
    pub socket: OwnedFd,
    /// What it waits for.
    pub stage: Stage,
    /// Its sending side.
    pub out: Outgoing,
    frames: FrameReader,
    /// The begin of the handshake's answer, if it comes in pieces.
    head: Vec<u8>,
    /// The server's close frame, when ours was first.
    close_received: bool,
}

/// Counts over all connections.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    /// Begun, and neither open nor ended.
    pub opening: usize,
    /// Open now.
    pub open: usize,
    /// Opened or failed to open, ever.
    pub settled: u64,
    /// Pings answered.
    pub pings: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Calls of `epoll_wait`.
    pub polls: u64,
    /// Those of them that brought nothing.
    pub empty_polls: u64,
}

/// Why reading a connection's bytes stops.
pub enum Stop {
    /// The connection has ended.
    End(End),
    /// The run has.
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

impl Tally {
    /// One more is open.
    pub fn opened(&mut self) {
        self.opening -= 1;
        self.open += 1;
        self.settled += 1;
    }
}

impl Connection {
    /// A new one, on which so much of the request is sent.
    pub fn new(socket: OwnedFd, request: &[u8], sent: usize) -> Connection {
        let (stage, out) = match sent {
            0 => (Stage::Connecting, Outgoing::default()),
            _ => (Stage::Handshake, Outgoing::begun(&request[sent..])),
        };
        Connection { socket, stage, out, frames: FrameReader::default(), head: Vec::new(), close_received: false }
    }

    /// What to watch its socket for.
    pub fn interest(&self) -> Interest {
        if self.stage == Stage::Connecting { Interest::Connect } else { self.out.interest() }
    }

    /// What the end of the stream means now.
    pub fn end_of_stream(&self) -> End {
        match self.stage {
            Stage::Open if self.close_received => End::Finished,
            Stage::Open => End::Cut,
            _ => End::Unanswered,
        }
    }

    /// Handles bytes, whatever they belong to.
    pub fn take(
        &mut self,
        id: usize,
        bytes: &[u8],
        poller: &Poller,
        mode: Mode,
        tally: &mut Tally,
        handler: &mut impl Handler,
    ) -> Result<(), Stop> {
        let Connection { socket, stage, out, frames, head, close_received } = self;
        let mut peer = Peer { id, now: Instant::now(), socket, out, poller };
        if mode == Mode::Silent {
            return Ok(());
        }
        if *stage == Stage::Open {
            return take_frames(frames, bytes, &mut peer, close_received, tally, handler);
        }
        let split = !head.is_empty();
        if split {
            head.extend_from_slice(bytes);
        }
        match handshake::answer(if split { head } else { bytes }) {
            Answer::Unfinished if split => Ok(()),
            Answer::Unfinished => {
                head.extend_from_slice(bytes);
                Ok(())
            }
            Answer::Refused(status) => Err(Stop::End(End::Refused(status))),
            Answer::Upgraded(length) => {
                let head = std::mem::take(head);
                let rest = if split { &head[length..] } else { &bytes[length..] };
                *stage = Stage::Open;
                tally.opened();
                handler.opened(&mut peer)?;
                take_frames(frames, rest, &mut peer, close_received, tally, handler)
            }
        }
    }
}

fn take_frames(
    frames: &mut FrameReader,
    bytes: &[u8],
    peer: &mut Peer<'_>,
    close_received: &mut bool,
    tally: &mut Tally,
    handler: &mut impl Handler,
) -> Result<(), Stop> {
    frames.read(bytes, |event| match event {
        Event::Data(part) => Ok(handler.data(peer, part)?),
        Event::Ping(payload) => {
            tally.pings += 1;
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
