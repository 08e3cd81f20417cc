//! Why a run ends without a result.

use std::fmt;

/// Why there is no result: invalid arguments, or what the server or this machine did unexpectedly.
#[derive(Debug)]
pub struct Failure(pub String);

impl Failure {
    /// A failure, with what failed and the error.
    pub fn of(what: impl fmt::Display, error: impl fmt::Display) -> Failure {
        Failure(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
