//! Why a run ends early. One type, two exit codes.

use std::fmt;

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The arguments or the descriptor limit don't allow it.
    Usage(String),
    /// The server, or this machine, didn't do what was expected.
    Run(String),
}

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Run(_) => 1,
        }
    }

    /// A failure while something was done.
    pub fn doing(what: &str, error: impl fmt::Display) -> Failure {
        Failure::Run(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(message) | Failure::Run(message)) = self;
        f.write_str(message)
    }
}
