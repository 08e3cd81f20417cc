//! One connection of an attacker.

use super::plan::{Ending, Plan};
use crate::attacks::{Leave, Reading};
use crate::skim::Skimmer;
use load::handshake::{self, Response};
use load::socket::{self, Interest};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown, sockopt};
use std::rc::Rc;
use std::time::Duration;
use test_support::frames::{CLOSE, FIN, client_frame};

/// Most of a response to plain HTTP that is kept, to see its status.
const STATUS_LINE: usize = 64;

#[derive(Clone, Copy, PartialEq)]
pub enum Stage {
    /// `connect` hasn't finished.
    Connecting,
    /// The request is sent, and its response awaited.
    Handshake,
    /// The script runs.
    Open,
    /// It ends by itself: nothing more is sent.
    Ending,
}

pub struct Attacker {
    pub socket: OwnedFd,
    pub plan: Rc<Plan>,
    /// Tells this connection from earlier ones in its place.
    pub serial: u64,
    pub stage: Stage,
    /// What the socket is polled for.
    pub interest: Interest,
    /// Bytes sent of the request or, once open, of the script.
    sent: usize,
    /// The response to the handshake, or the beginning of one to plain HTTP.
    head: Vec<u8>,
    pub skimmer: Skimmer,
}

/// What received bytes lead to.
pub enum Received {
    /// Nothing that matters.
    Nothing,
    /// The handshake is complete.
    Opened,
    /// The handshake was refused.
    Refused(String),
}

/// What was done when the socket had room.
pub enum Written {
    /// This many bytes were sent, and there are more.
    More(usize),
    /// This many bytes were sent, and now there are none, or none for a while.
    All(usize),
    /// The script ends the connection.
    Leave,
}

impl Attacker {
    pub fn new(socket: OwnedFd, plan: Rc<Plan>, serial: u64) -> Attacker {
        let (stage, interest, skimmer) = (Stage::Connecting, Interest::Write, Skimmer::default());
        Attacker { socket, plan, serial, stage, interest, sent: 0, head: Vec::new(), skimmer }
    }

    /// Goes on after a `connect` that has finished.
    pub fn connected(&mut self) -> Result<(), Errno> {
        socket::connect_result(&self.socket)?;
        self.stage = if self.plan.request.is_some() { Stage::Handshake } else { Stage::Open };
        Ok(())
    }

    /// Sends as much as the socket accepts in one system call.
    pub fn write(&mut self) -> Result<Written, Errno> {
        let script = &*self.plan.script;
        let rest = match (self.stage, &self.plan.request) {
            (Stage::Connecting | Stage::Ending, _) => &[],
            (Stage::Handshake, request) => &request.as_deref().unwrap_or_default()[self.sent..],
            _ if self.sent < script.once.len() => &script.once[self.sent..],
            _ if script.leave == Leave::AfterOnce => return Ok(Written::Leave),
            _ if script.repeat.is_empty() => &[],
            _ => &script.repeat[(self.sent - script.once.len()) % script.repeat.len()..],
        };
        if rest.is_empty() {
            return Ok(Written::All(0));
        }
        let sent = socket::write(&self.socket, rest)?;
        let is_rest_sent = sent == rest.len();
        self.sent += sent;
        let is_finished = match self.stage {
            Stage::Handshake => is_rest_sent,
            _ if self.sent < script.once.len() => false,
            _ => script.drip.is_some() || (script.repeat.is_empty() && script.leave == Leave::Never),
        };
        Ok(if is_finished { Written::All(sent) } else { Written::More(sent) })
    }

    /// Takes bytes from the gateway.
    pub fn receive(&mut self, bytes: &[u8]) -> Received {
        match (self.stage, &self.plan.request) {
            (Stage::Handshake, _) => {
                self.head.extend_from_slice(bytes);
                match handshake::response(&self.head) {
                    Response::Incomplete => return Received::Nothing,
                    Response::Refused(status) => return Received::Refused(status),
                    Response::Upgraded(length) => self.skimmer.skim(&self.head[length..]),
                }
                (self.stage, self.sent, self.head) = (Stage::Open, 0, Vec::new());
                return Received::Opened;
            }
            (_, Some(_)) => self.skimmer.skim(bytes),
            (_, None) => {
                let room = STATUS_LINE - self.head.len();
                self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
        Received::Nothing
    }

    /// How it reads now.
    pub fn reading(&self) -> Reading {
        if self.stage == Stage::Open { self.plan.script.reading } else { Reading::All }
    }

    /// The pause before the next byte of a script that drips.
    pub fn drip(&self) -> Option<Duration> {
        self.plan.script.drip.filter(|_| self.stage == Stage::Open && self.sent >= self.plan.script.once.len())
    }

    /// What the gateway's end of the stream means.
    pub fn end_of_stream(&self) -> String {
        if let Some((code, reason)) = self.skimmer.close() {
            return format!("closed: {code} {reason}");
        }
        if let Some(status) = self.head.strip_prefix(b"HTTP/1.1 ") {
            let end = status.iter().position(|byte| *byte == b'\r').unwrap_or(status.len());
            return String::from_utf8_lossy(&status[..end]).into_owned();
        }
        "dropped".to_owned()
    }

    /// Begins to end the connection, and returns whether it must stay a while.
    pub fn begin_to_end(&mut self, ending: Ending) -> bool {
        self.stage = Stage::Ending;
        // The gateway may have ended the connection at the same time: these can fail.
        match ending {
            Ending::Close => false,
            Ending::Reset => {
                let _ = sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
                false
            }
            Ending::HalfClose => shutdown(&self.socket, Shutdown::Write).is_ok(),
            Ending::CloseFrame => {
                let close = client_frame(FIN | CLOSE, &1000_u16.to_be_bytes());
                socket::write(&self.socket, &close).is_ok()
            }
        }
    }
}
