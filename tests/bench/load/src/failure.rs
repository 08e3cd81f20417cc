//! Why a run ends without a result: one error type, two exit codes.

use std::fmt;

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are wrong, or the descriptor limit is too low. Exit code 2.
    Usage(String),
    /// The server, or this machine, did something unexpected. Exit code 1.
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

    /// A failed run, with what failed and the error.
    pub fn run(what: impl fmt::Display, error: impl fmt::Display) -> Failure {
        Failure::Run(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(message) | Failure::Run(message)) = self;
        f.write_str(message)
    }
}
