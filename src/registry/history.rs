//! The history of closed connections: the latest ones, up to a limit.

use crate::budget;
use crate::client::CloseRecord;
use crate::config::LiveConfig;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;

/// The most records visited before the lock is released: meanwhile every connection that closes waits for it.
const BATCH: usize = 1000;

/// The connections that closed last, up to `limits.closed_connections`.
pub struct CloseHistory {
    config: Arc<LiveConfig>,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    /// The oldest comes first.
    latest: VecDeque<CloseRecord>,
    /// Connections closed since the start, including those no longer kept. A record's number is this count before the
    /// record was added.
    total: u64,
}

impl CloseHistory {
    /// An empty history.
    pub fn new(config: Arc<LiveConfig>) -> Self {
        CloseHistory { config, records: Mutex::default() }
    }

    /// Adds a record; drops the oldest when the history is full.
    pub fn push(&self, closed: CloseRecord) {
        let capacity = self.config.load().limits.closed_connections;
        let mut records = self.records.lock();
        records.total += 1;
        records.latest.push_back(closed);
        let excess = records.latest.len().saturating_sub(capacity);
        // More than one only after a reload with a smaller limit.
        drop(records.latest.drain(..excess));
    }

    /// Up to `limit` records with a number lower than `before` for which `matches` returns true, each with its number,
    /// the latest first. Charges the visited records to the current task's budget, and yields when that is spent.
    pub async fn page(
        &self,
        mut before: u64,
        limit: usize,
        matches: impl Fn(&CloseRecord) -> bool,
    ) -> Vec<(u64, CloseRecord)> {
        let mut found = Vec::new();
        while found.len() < limit {
            let visits = self.visit_batch(&mut before, limit, &matches, &mut found);
            budget::charge(visits);
            if visits < BATCH {
                break;
            }
            budget::yield_if_spent().await;
        }
        found
    }

    /// Visits up to [`BATCH`] records before number `before`, adds those that match to `found` up to `limit`, and moves
    /// `before`. Returns the number of visits.
    fn visit_batch(
        &self,
        before: &mut u64,
        limit: usize,
        matches: impl Fn(&CloseRecord) -> bool,
        found: &mut Vec<(u64, CloseRecord)>,
    ) -> usize {
        let records = self.records.lock();
        let newer = records.total.saturating_sub(*before) as usize;
        let numbered = (0..records.total.min(*before)).rev().zip(records.latest.iter().rev().skip(newer));
        let mut visits = 0;
        for (number, closed) in numbered.take(BATCH) {
            (visits, *before) = (visits + 1, number);
            if matches(closed) {
                found.push((number, closed.clone()));
                if found.len() == limit {
                    break;
                }
            }
        }
        MutexGuard::unlock_fair(records);
        visits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AuthInfo;
    use crate::client::{CloseReason, ClosedBy, ConnId, Health, RemoteAddr};
    use crate::config::Config;
    use std::time::{Duration, SystemTime};

    fn history(capacity: usize) -> CloseHistory {
        let mut config = Config::new(100);
        config.limits.closed_connections = capacity;
        CloseHistory::new(LiveConfig::new(config))
    }

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
            detail: None,
        }
    }

    fn seconds(page: &[(u64, CloseRecord)]) -> Vec<(u64, u64)> {
        page.iter().map(|(number, closed)| (*number, closed.connected.as_secs())).collect()
    }

    #[tokio::test]
    async fn full_history_drops_the_oldest_and_keeps_numbers() {
        let history = history(3);
        (0..5).for_each(|second| history.push(closed(second)));
        assert_eq!(seconds(&history.page(u64::MAX, 10, |_| true).await), [(4, 4), (3, 3), (2, 2)]);
        assert_eq!(seconds(&history.page(u64::MAX, 1, |closed| closed.connected.as_secs() < 4).await), [(3, 3)]);
        history.push(closed(5));
        assert_eq!(seconds(&history.page(4, 10, |_| true).await), [(3, 3)]);
    }

    #[tokio::test]
    async fn page_spans_several_batches() {
        let history = history(3 * BATCH);
        (0..4 * BATCH as u64).for_each(|second| history.push(closed(second)));
        let oldest = [BATCH as u64 + 1, BATCH as u64].map(|second| (second, second));
        assert_eq!(seconds(&history.page(BATCH as u64 + 2, 10, |_| true).await), oldest);
        assert_eq!(history.page(u64::MAX, usize::MAX, |_| true).await.len(), 3 * BATCH);
        let is_old = |closed: &CloseRecord| closed.connected.as_secs() < BATCH as u64 + 2;
        assert_eq!(seconds(&history.page(u64::MAX, 2, is_old).await), oldest);
    }

    #[tokio::test]
    async fn history_without_capacity_stays_empty() {
        let history = history(0);
        history.push(closed(0));
        assert!(history.page(u64::MAX, 1, |_| true).await.is_empty());
    }
}
