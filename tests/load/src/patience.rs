//! The one rule against hanging: without progress for so long, a run fails and says what it waited for.

use crate::failure::Failure;
use std::time::{Duration, Instant};

/// Watches a number that has to change.
pub struct Patience {
    limit: Duration,
    progress: u64,
    since: Instant,
}

impl Patience {
    /// With this limit, from now.
    pub fn new(limit: Duration) -> Patience {
        Patience { limit, progress: 0, since: Instant::now() }
    }

    /// Fails if this number has been the same for too long.
    pub fn check(&mut self, progress: u64, waiting_for: impl FnOnce() -> String) -> Result<(), Failure> {
        let now = Instant::now();
        if progress != self.progress {
            (self.progress, self.since) = (progress, now);
        } else if now - self.since > self.limit {
            let seconds = self.limit.as_secs_f64();
            return Err(Failure::Run(format!("nothing has happened for {seconds} s, waiting for {}", waiting_for())));
        }
        Ok(())
    }
}
