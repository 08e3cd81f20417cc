//! One connection: the response to its handshake and the frames that arrive on it. Pings and close frames are answered
//! here; messages are handed to a `Handler`.

use crate::failure::Failure;
use crate::handshake::{self, Response};
use crate::losses::End;
use crate::peer::{Outbound, Peer};
use crate::socket::{Interest, Poller};
use rustix::fd::OwnedFd;
use std::mem::take;
use std::time::Instant;
use test_support::frames::{BINARY, CLOSE, FIN, Frame, PING, PONG, TEXT, Violation, parse_server_frame};

/// What a mode does with its connections.
pub trait Handler {
    /// The connection is open: its handshake is complete.
    fn opened(&mut self, _peer: &mut Peer<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// A message was received: a text, or binary.
    fn message(&mut self, peer: &mut Peer<'_>, payload: &[u8], is_text: bool) -> Result<(), Failure>;

    /// A connection ended. That fails the run unless the mode overrides this.
    fn ended(&mut self, id: usize, end: &End) -> Result<(), Failure> {
        Err(Failure(format!("connection {id}: {end}")))
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Stage {
    /// The result of `connect`.
    Connecting,
    /// The response to the handshake request.
    Handshake,
    Open,
}

pub(crate) struct Connection {
    /// The socket; dropping it closes the connection.
    pub socket: OwnedFd,
    pub stage: Stage,
    pub out: Outbound,
    /// The beginning of a frame of which the rest hasn't arrived.
    unread: Vec<u8>,
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
    /// Connections whose handshake is complete.
    pub open: usize,
    /// Pings received.
    pub pings: u64,
}

impl Counts {
    /// Moves one connection from opening to open.
    pub fn opened(&mut self) {
        self.opening -= 1;
        self.open += 1;
    }
}

/// Why the bytes of a connection aren't read any further.
pub(crate) enum Stop {
    End(End),
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
    pub fn new(socket: OwnedFd, request: &[u8], sent: usize) -> Connection {
        let (stage, out) = match sent {
            0 => (Stage::Connecting, Outbound::default()),
            _ => (Stage::Handshake, Outbound::with_unsent(&request[sent..])),
        };
        Connection { socket, stage, out, unread: Vec::new(), head: Vec::new(), close_received: false }
    }

    /// What the socket must be polled for.
    pub fn interest(&self) -> Interest {
        if self.stage == Stage::Connecting { Interest::Write } else { self.out.interest() }
    }

    /// What the end of the stream means at this stage.
    pub fn end_of_stream(&self) -> End {
        match self.stage {
            Stage::Open if self.close_received => End::Finished,
            Stage::Open => End::NoCloseFrame,
            Stage::Connecting | Stage::Handshake => End::Unanswered,
        }
    }

    pub fn receive(
        &mut self,
        id: usize,
        bytes: &[u8],
        poller: &Poller,
        counts: &mut Counts,
        handler: &mut impl Handler,
    ) -> Result<(), Stop> {
        let Connection { socket, stage, out, unread, head, close_received } = self;
        let mut peer = Peer { id, now: Instant::now(), socket, out, poller };
        match stage {
            Stage::Open => return read_frames(unread, bytes, &mut peer, close_received, counts, handler),
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
                read_frames(unread, &head[length..], &mut peer, close_received, counts, handler)
            }
        }
    }
}

/// Handles all complete frames, and keeps the beginning of an incomplete one.
fn read_frames(
    unread: &mut Vec<u8>,
    bytes: &[u8],
    peer: &mut Peer<'_>,
    close_received: &mut bool,
    counts: &mut Counts,
    handler: &mut impl Handler,
) -> Result<(), Stop> {
    let joined;
    let bytes = if unread.is_empty() {
        bytes
    } else {
        unread.extend_from_slice(bytes);
        joined = take(unread);
        &joined
    };
    let mut handled = 0;
    while let Some(frame) = parse_server_frame(&bytes[handled..])? {
        handled += frame.len;
        handle_frame(&frame, peer, close_received, counts, handler)?;
    }
    if handled < bytes.len() {
        *unread = bytes[handled..].to_vec();
    }
    Ok(())
}

/// Servers that are measured send each message in one frame.
fn handle_frame(
    frame: &Frame<'_>,
    peer: &mut Peer<'_>,
    close_received: &mut bool,
    counts: &mut Counts,
    handler: &mut impl Handler,
) -> Result<(), Stop> {
    const FINAL_TEXT: u8 = FIN | TEXT;
    const FINAL_BINARY: u8 = FIN | BINARY;
    const FINAL_PING: u8 = FIN | PING;
    const FINAL_PONG: u8 = FIN | PONG;
    const FINAL_CLOSE: u8 = FIN | CLOSE;
    match (frame.first, frame.payload) {
        (FINAL_TEXT, payload) => Ok(handler.message(peer, payload, true)?),
        (FINAL_BINARY, payload) => Ok(handler.message(peer, payload, false)?),
        (FINAL_PING, payload) => {
            counts.pings += 1;
            Ok(peer.pong(payload)?)
        }
        (FINAL_PONG, _) => Ok(()),
        (FINAL_CLOSE, _) if peer.out.close_sent => {
            *close_received = true;
            Ok(())
        }
        (FINAL_CLOSE, [high, low, reason @ ..]) => {
            peer.close()?;
            let code = u16::from_be_bytes([*high, *low]);
            Err(Stop::End(End::Closed(code, String::from_utf8_lossy(reason).into_owned())))
        }
        (FINAL_CLOSE, _) => {
            peer.close()?;
            Err(Stop::End(End::Closed(1005, String::new())))
        }
        _ => Err(Violation::Order.into()),
    }
}
