//! Accepting: the loop that never ends by itself and never spins, and who is let in.

use super::answer::Refusal;
use super::connection;
use super::listener::Listener;
use super::server::Gateway;
use log::{debug, warn};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beyond `max_connections` that are still answered: with 503 to an upgrade, and as ever to a scraper.
const OVERFLOW: usize = 32;

const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LAST_BACKOFF: Duration = Duration::from_secs(1);
/// Between two warnings of the same trouble.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// The places for connections. Those taken are the connections that there are.
pub struct Admission {
    places: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    max_connections: u32,
}

/// A connection's place, given back when dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    /// Whether the connection may become a client.
    pub(super) may_upgrade: bool,
}

impl Admission {
    pub(super) fn new(max_connections: usize) -> Self {
        let max_connections = u32::try_from(max_connections).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(max_connections as usize));
        Admission { places, overflow: Arc::new(Semaphore::new(OVERFLOW)), max_connections }
    }

    fn try_enter(&self) -> Option<Place> {
        let place = |semaphore: &Arc<Semaphore>, may_upgrade| {
            let permit = semaphore.clone().try_acquire_owned().ok()?;
            Some(Place { _permit: permit, may_upgrade })
        };
        place(&self.places, true).or_else(|| place(&self.overflow, false))
    }

    /// Waits until every place is free again: no connection is left.
    pub(super) async fn all_gone(&self) {
        // The semaphores are never closed, so neither wait fails.
        let _ = self.places.acquire_many(self.max_connections).await;
        let _ = self.overflow.acquire_many(OVERFLOW as u32).await;
    }
}

/// Accepts connections until it is dropped.
pub(super) async fn accept_all(gateway: Arc<Gateway>, listener: Listener) {
    let mut trouble = Trouble::default();
    loop {
        match listener.accept().await {
            Ok((stream, remote_addr)) => {
                trouble.backoff = None;
                gateway.handshakes.accepted.add(1);
                match gateway.admission.try_enter() {
                    Some(place) => {
                        tokio::spawn(connection::serve(gateway.clone(), stream, remote_addr, place));
                    }
                    None => {
                        debug!("refused remote_addr={remote_addr} cause=full");
                        gateway.handshakes.failed.add(Refusal::FULL);
                        stream.write_at_once(Refusal::full().to_http_1_1().as_bytes());
                    }
                }
            }
            // The peer left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => trouble.wait(&error).await,
        }
    }
}

/// Accepting fails, most likely because descriptors have run out.
#[derive(Default)]
struct Trouble {
    backoff: Option<Duration>,
    warned: Option<Instant>,
}

impl Trouble {
    async fn wait(&mut self, error: &io::Error) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            self.warned = Some(Instant::now());
            warn!("accepting fails, going on error={error:?}");
        }
        let backoff = self.backoff.map_or(FIRST_BACKOFF, |last| (last * 2).min(LAST_BACKOFF));
        self.backoff = Some(backoff);
        tokio::time::sleep(backoff).await;
    }
}
