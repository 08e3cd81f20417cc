//! Connections that have ended: the last of them.

use super::sender::spend_turn;
use super::{CloseReason, ConnId, Health, RemoteAddr};
use crate::auth::AuthInfo;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client: it sent the first close frame.
    Client,
    /// The gateway.
    Gateway,
    /// Neither: the transport broke.
    Network,
}

impl Side {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Gateway => "gateway",
            Side::Network => "network",
        }
    }
}

/// One ended connection.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Whose it was.
    pub conn_id: ConnId,
    /// Who that was.
    pub auth: Arc<AuthInfo>,
    /// The peer's address.
    pub remote_addr: RemoteAddr,
    /// When it ended.
    pub at: SystemTime,
    /// How long it lasted.
    pub connected: Duration,
    /// Since its last message.
    pub idle: Duration,
    /// How it was doing just before.
    pub health: Health,
    /// Why it ended.
    pub reason: CloseReason,
    /// Who ended it.
    pub side: Side,
    /// The last round trip that was measured.
    pub round_trip: Option<Duration>,
    /// The most payload bytes that ever waited for it.
    pub outbox_highest_bytes: u32,
}

/// The connections that ended last, up to a number of them.
pub struct ClosedLog {
    most: usize,
    entries: Mutex<Entries>,
}

/// Entries that are looked at under one hold of the lock.
const PIECE: usize = 1000;

#[derive(Default)]
struct Entries {
    /// The oldest first.
    last: VecDeque<Closed>,
    /// How many there were, with those that were forgotten.
    total: u64,
}

impl ClosedLog {
    /// Keeps at most so many.
    pub fn new(most: usize) -> Self {
        ClosedLog { most, entries: Mutex::default() }
    }

    /// Takes in one more.
    pub fn push(&self, closed: Closed) {
        let mut entries = self.entries.lock();
        entries.total += 1;
        if entries.last.len() == self.most {
            entries.last.pop_front();
        }
        if self.most > 0 {
            entries.last.push_back(closed);
        }
    }

    /// Those that `fits` holds for, the latest first, each with its number: at most `limit`, of those with a lower number
    /// than `before`.
    pub fn latest(&self, before: u64, limit: usize, fits: impl Fn(&Closed) -> bool) -> Vec<(u64, Closed)> {
        let (mut found, mut before) = (Vec::new(), before);
        // Piece by piece: each connection that ends waits for the lock.
        while found.len() < limit {
            let entries = self.entries.lock();
            let newer = entries.total.saturating_sub(before) as usize;
            let numbered = (0..entries.total.min(before)).rev().zip(entries.last.iter().rev().skip(newer));
            let mut looks = 0;
            for (number, closed) in numbered.take(PIECE) {
                (looks, before) = (looks + 1, number);
                if fits(closed) {
                    found.push((number, closed.clone()));
                    if found.len() == limit {
                        break;
                    }
                }
            }
            MutexGuard::unlock_fair(entries);
            spend_turn(looks);
            if looks < PIECE {
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(seconds: u64) -> Closed {
        Closed {
            conn_id: ConnId::random(),
            auth: AuthInfo::anonymous().into(),
            remote_addr: RemoteAddr::Unix,
            at: SystemTime::now(),
            connected: Duration::from_secs(seconds),
            idle: Duration::ZERO,
            health: Health::Good,
            reason: CloseReason::Normal,
            side: Side::Client,
            round_trip: None,
            outbox_highest_bytes: 0,
        }
    }

    fn seconds(page: &[(u64, Closed)]) -> Vec<(u64, u64)> {
        page.iter().map(|(number, closed)| (*number, closed.connected.as_secs())).collect()
    }

    #[test]
    fn the_last_are_kept_and_numbered() {
        let log = ClosedLog::new(3);
        (0..5).for_each(|second| log.push(closed(second)));
        assert_eq!(seconds(&log.latest(u64::MAX, 10, |_| true)), [(4, 4), (3, 3), (2, 2)]);
        assert_eq!(seconds(&log.latest(u64::MAX, 1, |closed| closed.connected.as_secs() < 4)), [(3, 3)]);
        log.push(closed(5));
        assert_eq!(seconds(&log.latest(4, 10, |_| true)), [(3, 3)]);
        // Over several pieces, too.
        let large = ClosedLog::new(3 * PIECE);
        (0..4 * PIECE as u64).for_each(|second| large.push(closed(second)));
        let oldest = [PIECE as u64 + 1, PIECE as u64].map(|second| (second, second));
        assert_eq!(seconds(&large.latest(PIECE as u64 + 2, 10, |_| true)), oldest);
        assert_eq!(large.latest(u64::MAX, usize::MAX, |_| true).len(), 3 * PIECE);
        assert_eq!(seconds(&large.latest(u64::MAX, 2, |closed| closed.connected.as_secs() < PIECE as u64 + 2)), oldest);
        let none = ClosedLog::new(0);
        none.push(closed(0));
        assert!(none.latest(u64::MAX, 1, |_| true).is_empty());
    }
}
