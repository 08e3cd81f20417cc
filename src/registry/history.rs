//! Connections that have ended: the last of them.

use crate::budget;
use crate::client::CloseRecord;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;

/// The connections that ended last, up to a number of them.
pub struct CloseHistory {
    capacity: usize,
    entries: Mutex<Entries>,
}

/// Entries that are looked at under one hold of the lock.
const BATCH: usize = 1000;

#[derive(Default)]
struct Entries {
    /// The oldest first.
    last: VecDeque<CloseRecord>,
    /// How many there were, with those that were forgotten.
    total: u64,
}

impl CloseHistory {
    /// Keeps at capacity so many.
    pub fn new(capacity: usize) -> Self {
        CloseHistory { capacity, entries: Mutex::default() }
    }

    /// Takes in one more.
    pub fn push(&self, closed: CloseRecord) {
        let mut entries = self.entries.lock();
        entries.total += 1;
        if entries.last.len() == self.capacity {
            entries.last.pop_front();
        }
        if self.capacity > 0 {
            entries.last.push_back(closed);
        }
    }

    /// Those that `fits` holds for, the latest first, each with its number: at capacity `limit`, of those with a lower number
    /// than `before`.
    pub fn page(&self, before: u64, limit: usize, fits: impl Fn(&CloseRecord) -> bool) -> Vec<(u64, CloseRecord)> {
        let (mut found, mut before) = (Vec::new(), before);
        // Piece by piece: each connection that ends waits for the lock.
        while found.len() < limit {
            let entries = self.entries.lock();
            let newer = entries.total.saturating_sub(before) as usize;
            let numbered = (0..entries.total.min(before)).rev().zip(entries.last.iter().rev().skip(newer));
            let mut looks = 0;
            for (number, closed) in numbered.take(BATCH) {
                (looks, before) = (looks + 1, number);
                if fits(closed) {
                    found.push((number, closed.clone()));
                    if found.len() == limit {
                        break;
                    }
                }
            }
            MutexGuard::unlock_fair(entries);
            budget::charge(looks);
            if looks < BATCH {
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AuthInfo;
    use crate::client::{CloseReason, ClosedBy, ConnId, Health, RemoteAddr};
    use std::time::{Duration, SystemTime};

    fn closed(seconds: u64) -> CloseRecord {
        CloseRecord {
            conn_id: ConnId::random(),
            auth: AuthInfo::anonymous().into(),
            remote_addr: RemoteAddr::Unix,
            at: SystemTime::now(),
            connected: Duration::from_secs(seconds),
            idle: Duration::ZERO,
            health: Health::Ok,
            reason: CloseReason::Normal,
            closed_by: ClosedBy::Client,
            round_trip: None,
            outbox_peak_bytes: 0,
        }
    }

    fn seconds(page: &[(u64, CloseRecord)]) -> Vec<(u64, u64)> {
        page.iter().map(|(number, closed)| (*number, closed.connected.as_secs())).collect()
    }

    #[test]
    fn the_last_are_kept_and_numbered() {
        let log = CloseHistory::new(3);
        (0..5).for_each(|second| log.push(closed(second)));
        assert_eq!(seconds(&log.page(u64::MAX, 10, |_| true)), [(4, 4), (3, 3), (2, 2)]);
        assert_eq!(seconds(&log.page(u64::MAX, 1, |closed| closed.connected.as_secs() < 4)), [(3, 3)]);
        log.push(closed(5));
        assert_eq!(seconds(&log.page(4, 10, |_| true)), [(3, 3)]);
        // Over several pieces, too.
        let large = CloseHistory::new(3 * BATCH);
        (0..4 * BATCH as u64).for_each(|second| large.push(closed(second)));
        let oldest = [BATCH as u64 + 1, BATCH as u64].map(|second| (second, second));
        assert_eq!(seconds(&large.page(BATCH as u64 + 2, 10, |_| true)), oldest);
        assert_eq!(large.page(u64::MAX, usize::MAX, |_| true).len(), 3 * BATCH);
        assert_eq!(seconds(&large.page(u64::MAX, 2, |closed| closed.connected.as_secs() < BATCH as u64 + 2)), oldest);
        let none = CloseHistory::new(0);
        none.push(closed(0));
        assert!(none.page(u64::MAX, 1, |_| true).is_empty());
    }
}
