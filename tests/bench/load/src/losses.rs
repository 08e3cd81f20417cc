//! How connections end, and counts of those that ended unexpectedly.

use crate::failure::Failure;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use test_support::frames::Violation;

/// Losses that are described on standard error; the others are only counted.
const DESCRIBED: u64 = 5;

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// `connect` failed.
    Connect(Errno),
    /// The handshake was refused with this status.
    Refused(String),
    /// The server closed the connection during the handshake.
    Unanswered,
    /// The server sent a close frame.
    Closed(u16, String),
    /// The server ended the stream without a close frame.
    NoCloseFrame,
    /// The transport failed.
    Broken(Errno),
    /// The server violated RFC 6455.
    Violation(Violation),
    /// The server answered our close frame and ended the stream.
    Finished,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Connect(error) => write!(f, "can't connect: {error}"),
            End::Refused(status) => write!(f, "handshake refused: {status}"),
            End::Unanswered => f.write_str("closed by the server during the handshake"),
            End::Closed(code, reason) => write!(f, "closed by the server: code {code} {reason}"),
            End::NoCloseFrame => f.write_str("closed by the server without a close frame"),
            End::Broken(error) => write!(f, "broken: {error}"),
            End::Violation(violation) => write!(f, "protocol violation by the server: {violation}"),
            End::Finished => f.write_str("closed normally"),
        }
    }
}

/// Counts of lost connections.
#[derive(Default)]
pub struct Losses {
    unopened: u64,
    closed: u64,
    no_close_frame: u64,
    violations: u64,
    codes: BTreeMap<String, u64>,
}

impl Losses {
    /// Counts one, and describes the first ones on standard error.
    pub fn count(&mut self, id: usize, end: &End) {
        match end {
            End::Connect(_) | End::Unanswered | End::Refused(_) => self.unopened += 1,
            End::Closed(code, _) => {
                self.closed += 1;
                *self.codes.entry(code.to_string()).or_default() += 1;
            }
            End::NoCloseFrame | End::Broken(_) => self.no_close_frame += 1,
            End::Violation(_) => self.violations += 1,
            End::Finished => return,
        }
        if self.total() <= DESCRIBED {
            eprintln!("connection {id}: {end}");
        }
    }

    /// Fails if a connection didn't open.
    pub fn check_opened(&self) -> Result<(), Failure> {
        match self.unopened {
            0 => Ok(()),
            unopened => Err(Failure::Run(format!("{unopened} connections didn't open"))),
        }
    }

    /// Number of lost connections.
    pub fn total(&self) -> u64 {
        self.unopened + self.closed + self.no_close_frame + self.violations
    }

    /// The counts, with the codes of close frames.
    pub fn to_json(&self) -> Value {
        json!({
            "unopened": self.unopened, "closed": self.closed, "no_close_frame": self.no_close_frame,
            "violations": self.violations, "close_codes": self.codes,
        })
    }
}
