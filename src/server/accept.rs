//! The accept loop of one listener. It survives every error, and backs off instead of spinning.

use super::connection::Connection;
use super::listener::Listener;
use super::state::ServerState;
use crate::client::RemoteAddr;
use crate::http::error::{HandshakeFailure, HttpError};
use crate::ws::Stream;
use log::warn;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MIN_BACKOFF: Duration = Duration::from_millis(10);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// The minimum time between two log lines of the same warning.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Accepts connections and spawns a task for each, until this future is dropped.
pub async fn accept_loop(server: Arc<ServerState>, listener: Listener) {
    let (mut backoff, mut limit_warning) = (AcceptBackoff::default(), LogThrottle::default());
    loop {
        match listener.accept().await {
            Ok((stream, remote_addr)) => {
                backoff.reset();
                server.handshakes.accepted.add(1);
                let slot = server.connections.try_acquire(listener.role);
                let may_upgrade = slot.as_ref().is_some_and(|slot| slot.may_upgrade);
                if !may_upgrade && limit_warning.should_log() {
                    let limit = server.config.limits.max_connections;
                    warn!("connection limit reached, refusing clients max_connections={limit}");
                }
                match slot {
                    Some(slot) => drop(tokio::spawn(Connection::new(server.clone(), stream, remote_addr, slot))),
                    None => refuse(&server, stream, remote_addr),
                }
            }
            // The peer disconnected before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => backoff.sleep(&error).await,
        }
    }
}

/// Answers 503 without reading a request, and closes the connection.
fn refuse(server: &ServerState, stream: Stream, remote_addr: RemoteAddr) {
    let cause = HandshakeFailure::Full;
    server.refusals.log(format_args!("connection refused remote_addr={remote_addr} cause={cause}"));
    server.handshakes.failed.add(cause);
    stream.write_best_effort(HttpError::full().to_http_text().as_bytes());
}

/// Limits how often a warning is logged.
#[derive(Default)]
struct LogThrottle {
    last: Option<Instant>,
}

impl LogThrottle {
    /// Returns whether to log the warning now: true at most once in [`WARN_INTERVAL`].
    fn should_log(&mut self) -> bool {
        let due = self.last.is_none_or(|at| at.elapsed() >= WARN_INTERVAL);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

/// Exponential backoff after accept errors, most likely `EMFILE`: no descriptor is free.
#[derive(Default)]
struct AcceptBackoff {
    /// The last delay; `None` after a success.
    delay: Option<Duration>,
    warning: LogThrottle,
}

impl AcceptBackoff {
    /// Logs the error, and sleeps; each further error doubles the delay, up to [`MAX_BACKOFF`].
    async fn sleep(&mut self, error: &io::Error) {
        if self.warning.should_log() {
            warn!("accept failed, retrying error=\"{error}\"");
        }
        let delay = self.delay.map_or(MIN_BACKOFF, |last| (last * 2).min(MAX_BACKOFF));
        self.delay = Some(delay);
        tokio::time::sleep(delay).await;
    }

    /// Resets the next delay to [`MIN_BACKOFF`].
    fn reset(&mut self) {
        self.delay = None;
    }
}
