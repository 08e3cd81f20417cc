//! How many connections there may be.

use super::door::Door;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beyond `max_connections` that are still answered: with 503 to an upgrade, and as ever to a scraper.
const OVERFLOW: usize = 32;

/// Plain connections that are kept open for their next request, at most, and as a part of all places: nobody needs a
/// credential for one, and each takes a client's place.
const KEPT_ALIVE: usize = 256;
const KEPT_ALIVE_PART: usize = 4;

/// The places for connections. Those taken are the connections that there are.
pub struct Admission {
    places: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    kept_alive: Arc<Semaphore>,
    max_connections: u32,
}

/// A connection's place, given back when dropped.
pub(super) struct Place {
    permit: OwnedSemaphorePermit,
    /// Whether the connection may become a client.
    pub(super) may_upgrade: bool,
    /// What is served to it.
    pub(super) door: Door,
}

impl Place {
    /// The place of a connection that is a client's from here on.
    pub(super) fn into_clients(self) -> OwnedSemaphorePermit {
        self.permit
    }
}

impl Admission {
    pub(super) fn new(max_connections: usize) -> Self {
        let max_connections = u32::try_from(max_connections).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(max_connections as usize));
        let kept_alive = KEPT_ALIVE.min(max_connections as usize / KEPT_ALIVE_PART).max(1);
        Admission {
            places,
            overflow: Arc::new(Semaphore::new(OVERFLOW)),
            kept_alive: Arc::new(Semaphore::new(kept_alive)),
            max_connections,
        }
    }

    /// A place for a new connection, if there is one left.
    pub(super) fn try_enter(&self, door: Door) -> Option<Place> {
        let place = |semaphore: &Arc<Semaphore>, may_upgrade| {
            let permit = semaphore.clone().try_acquire_owned().ok()?;
            Some(Place { permit, may_upgrade, door })
        };
        place(&self.places, true).or_else(|| place(&self.overflow, false))
    }

    /// A place among the plain connections that are kept open, if there is one left.
    pub(super) fn try_keep_alive(&self) -> Option<OwnedSemaphorePermit> {
        self.kept_alive.clone().try_acquire_owned().ok()
    }

    /// Waits until every place is free again: no connection is left.
    pub(super) async fn all_gone(&self) {
        // The semaphores are never closed, so neither wait fails.
        let _ = self.places.acquire_many(self.max_connections).await;
        let _ = self.overflow.acquire_many(OVERFLOW as u32).await;
    }
}
