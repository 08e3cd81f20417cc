//! The rate at which connections are accepted, `handshake.max_per_second`.

use crate::config::LiveConfig;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How far accepts may be ahead of their rate.
const ACCEPT_BURST: Duration = Duration::from_millis(100);

/// Spreads accepts: GCRA, the generic cell rate algorithm, with a burst of [`ACCEPT_BURST`].
#[derive(Debug)]
pub struct AcceptPace {
    config: Arc<LiveConfig>,
    /// When everything accepted so far would have been accepted at the limited rate.
    accepted_until: Mutex<Instant>,
}

impl AcceptPace {
    /// The rate `handshake.max_per_second`.
    pub fn new(config: Arc<LiveConfig>) -> Self {
        AcceptPace { config, accepted_until: Mutex::new(Instant::now()) }
    }

    /// Waits until a connection may be accepted.
    pub async fn wait(&self) {
        if let Some(at) = self.take(Instant::now()) {
            tokio::time::sleep_until(at.into()).await;
        }
    }

    /// Takes the place of one accept. Returns when it may happen; `None` without a limit.
    fn take(&self, now: Instant) -> Option<Instant> {
        let max_per_second = self.config.load().handshake.max_per_second;
        let interval = Duration::from_secs(1).checked_div(max_per_second as u32)?;
        let mut until = self.accepted_until.lock();
        *until = (*until).max(now) + interval;
        Some(*until - ACCEPT_BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_beyond_the_burst_wait_for_their_rate() {
        let (pace, now) =
            (AcceptPace::new(LiveConfig::with(|config| config.handshake.max_per_second = 100)), Instant::now());
        let waits: Vec<_> =
            (0..13).map(|_| pace.take(now).unwrap().saturating_duration_since(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 20, 30]);
        let later = now + Duration::from_secs(5);
        assert!(pace.take(later).unwrap() <= later, "the burst is available again");
        assert_eq!(AcceptPace::new(LiveConfig::with(|_| {})).take(now), None);
    }
}
