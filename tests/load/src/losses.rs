//! How connections end, and counts of those that ended without being asked to.

use crate::failure::Failure;
use crate::frame::Violation;
use crate::json::Json;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fmt;

/// So many losses are described on standard error.
const DESCRIBED: u64 = 5;

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// It couldn't be opened.
    Connect(Errno),
    /// The handshake was refused, with this status.
    Refused(String),
    /// The server closed it during the handshake.
    Unanswered,
    /// The server sent a close frame.
    Closed(u16, String),
    /// The server closed the TCP connection without a close frame.
    Cut,
    /// The transport broke.
    Broken(Errno),
    /// The server sent what it must not.
    Violation(Violation),
    /// By the book, as this client wanted: a close frame, the answer to it, the end.
    Finished,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Connect(error) => write!(f, "can't connect: {error}"),
            End::Refused(status) => write!(f, "handshake refused: {status}"),
            End::Unanswered => f.write_str("closed by the server before it answered the handshake"),
            End::Closed(code, reason) => write!(f, "closed by the server: code {code} {reason}"),
            End::Cut => f.write_str("closed by the server without a close frame"),
            End::Broken(error) => write!(f, "broken: {error}"),
            End::Violation(violation) => write!(f, "the server sent {violation}"),
            End::Finished => f.write_str("closed as it should be"),
        }
    }
}

/// Counts of lost connections.
#[derive(Default)]
pub struct Losses {
    connect: u64,
    refused: u64,
    closed: u64,
    cut: u64,
    violations: u64,
    codes: BTreeMap<u16, u64>,
}

impl Losses {
    /// Counts one; the first ones are described on standard error.
    pub fn count(&mut self, id: usize, end: &End) {
        match end {
            End::Connect(_) | End::Unanswered => self.connect += 1,
            End::Refused(_) => self.refused += 1,
            End::Closed(code, _) => {
                self.closed += 1;
                *self.codes.entry(*code).or_default() += 1;
            }
            End::Cut | End::Broken(_) => self.cut += 1,
            End::Violation(_) => self.violations += 1,
            End::Finished => return,
        }
        if self.total() <= DESCRIBED {
            eprintln!("connection {id}: {end}");
        }
    }

    /// Those that never opened.
    pub fn unopened(&self) -> u64 {
        self.connect + self.refused
    }

    /// Fails if a connection didn't open, beside so many earlier ones.
    pub fn all_opened(&self, earlier: u64) -> Result<(), Failure> {
        match self.unopened() - earlier {
            0 => Ok(()),
            unopened => Err(Failure::Run(format!("{unopened} connections didn't open: {}", self.to_json()))),
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.connect + self.refused + self.closed + self.cut + self.violations
    }

    /// The counts, with the codes of close frames.
    pub fn to_json(&self) -> Json {
        let mut json = Json::object();
        json.add("connect", self.connect);
        json.add("refused", self.refused);
        json.add("closed", self.closed);
        json.add("cut", self.cut);
        json.add("violations", self.violations);
        let mut codes = Json::object();
        self.codes.iter().for_each(|(code, count)| codes.add(code.to_string(), *count));
        json.add("close_codes", codes);
        json
    }
}
