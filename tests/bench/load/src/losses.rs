//! How connections end, and counts of those that ended unexpectedly.

use crate::failure::Failure;
use rustix::io::Errno;
use std::fmt;
use test_support::frames::Violation;

/// Losses that are described on standard error; the others are only counted.
const DESCRIBED: u64 = 5;

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// `connect` failed, or the connection broke before the handshake was complete.
    Connect(Errno),
    /// The handshake was refused with this status.
    Refused(String),
    /// The server closed the connection during the handshake.
    Unanswered,
    /// The server sent a close frame with this code and reason.
    Closed(u16, String),
    /// The server ended the stream without a close frame.
    NoCloseFrame,
    /// Reading failed.
    Broken(Errno),
    /// The server sent an invalid frame.
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
    total: u64,
}

impl Losses {
    /// Counts one, and describes the first ones on standard error.
    pub fn count(&mut self, id: usize, end: &End) {
        match end {
            End::Finished => return,
            End::Connect(_) | End::Unanswered | End::Refused(_) => self.unopened += 1,
            End::Closed(..) | End::NoCloseFrame | End::Broken(_) | End::Violation(_) => {}
        }
        self.total += 1;
        if self.total <= DESCRIBED {
            eprintln!("connection {id}: {end}");
        }
    }

    /// Fails if a connection didn't open.
    pub fn check_opened(&self) -> Result<(), Failure> {
        match self.unopened {
            0 => Ok(()),
            unopened => Err(Failure(format!("{unopened} connections didn't open"))),
        }
    }

    /// Connections that ended unexpectedly, or never opened.
    pub fn total(&self) -> u64 {
        self.total
    }
}
