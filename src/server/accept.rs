//! Accepting: the loop that never ends by itself and never spins.

use super::connection::Connection;
use super::listener::Listener;
use super::state::ServerState;
use crate::http::error::HttpError;
use log::{debug, warn};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LAST_BACKOFF: Duration = Duration::from_secs(1);
/// Between two warnings of the same backoff.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Accepts connections until it is dropped.
pub(crate) async fn accept_loop(gateway: Arc<ServerState>, listener: Listener) {
    let (mut backoff, mut full) = (AcceptBackoff::default(), LogThrottle::default());
    loop {
        match listener.accept().await {
            Ok((stream, remote_addr)) => {
                backoff.backoff = None;
                gateway.handshakes.accepted.add(1);
                match gateway.connections.try_acquire(listener.role) {
                    Some(slot) => {
                        if !slot.may_upgrade && full.is_due() {
                            warn!("full, refusing clients max_connections={}", gateway.config.limits.max_connections);
                        }
                        tokio::spawn(Connection::new(gateway.clone(), stream, remote_addr, slot));
                    }
                    None => {
                        debug!("refused remote_addr={remote_addr} cause=full");
                        gateway.handshakes.failed.add(HttpError::FULL);
                        stream.write_best_effort(HttpError::full().to_bytes().as_bytes());
                    }
                }
            }
            // The peer left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => backoff.wait(&error).await,
        }
    }
}

/// A warning that is given now and then, however often there is cause for it.
#[derive(Default)]
struct LogThrottle {
    last: Option<Instant>,
}

impl LogThrottle {
    /// Whether to give it now.
    fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|at| at.elapsed() >= WARN_INTERVAL);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

/// Accepting fails, most likely because descriptors have run out.
#[derive(Default)]
struct AcceptBackoff {
    backoff: Option<Duration>,
    warning: LogThrottle,
}

impl AcceptBackoff {
    async fn wait(&mut self, error: &io::Error) {
        if self.warning.is_due() {
            warn!("accepting fails, going on error=\"{error}\"");
        }
        let backoff = self.backoff.map_or(FIRST_BACKOFF, |last| (last * 2).min(LAST_BACKOFF));
        self.backoff = Some(backoff);
        tokio::time::sleep(backoff).await;
    }
}
