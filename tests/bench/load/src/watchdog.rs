//! Ends a run that makes no progress, with a message that says what it waited for.

use crate::failure::Failure;
use std::time::{Duration, Instant};

/// Watches a number that has to change.
pub struct Watchdog {
    timeout: Duration,
    progress: u64,
    since: Instant,
}

impl Watchdog {
    /// A watchdog that starts now.
    pub fn new(timeout: Duration) -> Watchdog {
        Watchdog { timeout, progress: 0, since: Instant::now() }
    }

    /// Fails if `progress` hasn't changed for the whole timeout.
    pub fn check(&mut self, progress: u64, waiting_for: impl FnOnce() -> String) -> Result<(), Failure> {
        let now = Instant::now();
        if progress != self.progress {
            (self.progress, self.since) = (progress, now);
        } else if now - self.since > self.timeout {
            let seconds = self.timeout.as_secs_f64();
            return Err(Failure::Run(format!("no progress for {seconds} s, waiting for {}", waiting_for())));
        }
        Ok(())
    }
}
