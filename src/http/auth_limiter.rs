//! The admin API's rate limit on failed authentications, by remote address: GCRA, the generic cell rate algorithm.
//!
//! An address may fail `n` times in a burst, and then once every 60/`n` seconds.

use crate::client::RemoteAddr;
use crate::clock::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// In nanoseconds.
const MINUTE_NANOS: u64 = 60_000_000_000;

/// Maximum addresses in the table. When it is full, the one with the fewest recent failures is evicted.
const MAX_ADDRESSES: usize = 4096;

/// The bits of an IPv6 address that identify a host in its /64 network. One host can use all of their values.
const IPV6_HOST_BITS: u128 = u64::MAX as u128;

/// Records failures by address, and computes how long an address must wait.
pub struct AuthLimiter {
    /// Nanoseconds until one failure expires.
    emission_interval: u64,
    /// The theoretical arrival time of each address, in nanoseconds of [`Timestamp`]: when all of its failures will
    /// have expired.
    tat: Mutex<HashMap<IpAddr, u64>>,
}

impl AuthLimiter {
    /// Allows each address `max_per_minute` failures in a minute. `max_per_minute` must be at least 1.
    pub fn new(max_per_minute: usize) -> Self {
        AuthLimiter { emission_interval: MINUTE_NANOS / max_per_minute.max(1) as u64, tat: Mutex::default() }
    }

    /// How long an address must wait before its next attempt; `None` if it needn't. A Unix socket is never limited.
    pub fn retry_after(&self, remote_addr: RemoteAddr) -> Option<Duration> {
        self.retry_after_at(remote_addr, Timestamp::now().nanos())
    }

    /// Records a failed authentication.
    pub fn record_failure(&self, remote_addr: RemoteAddr) {
        self.record_failure_at(remote_addr, Timestamp::now().nanos());
    }

    fn retry_after_at(&self, remote_addr: RemoteAddr, now: u64) -> Option<Duration> {
        let backlog = self.tat.lock().get(&limit_key(remote_addr)?)?.saturating_sub(now);
        let wait = backlog.saturating_sub(MINUTE_NANOS - self.emission_interval);
        (wait > 0).then(|| Duration::from_nanos(wait))
    }

    fn record_failure_at(&self, remote_addr: RemoteAddr, now: u64) {
        let Some(key) = limit_key(remote_addr) else { return };
        let mut table = self.tat.lock();
        if !table.contains_key(&key) {
            make_room(&mut table, now);
        }
        let tat = table.entry(key).or_insert(now);
        *tat = (*tat).max(now) + self.emission_interval;
    }
}

/// Removes expired addresses from a full table; if there are none, the one that expires first.
fn make_room(table: &mut HashMap<IpAddr, u64>, now: u64) {
    if table.len() < MAX_ADDRESSES {
        return;
    }
    table.retain(|_, tat| *tat > now);
    if table.len() < MAX_ADDRESSES {
        return;
    }
    if let Some(key) = table.iter().min_by_key(|(_, tat)| **tat).map(|(key, _)| *key) {
        table.remove(&key);
    }
}

/// The key under which failures are counted: an IPv4 address, or an IPv6 /64 network. `None` for a Unix socket, whose
/// file mode limits access.
fn limit_key(remote_addr: RemoteAddr) -> Option<IpAddr> {
    let RemoteAddr::Tcp(addr) = remote_addr else { return None };
    Some(match addr.ip().to_canonical() {
        IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() & !IPV6_HOST_BITS).into(),
        addr => addr,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn addr(text: &str) -> RemoteAddr {
        RemoteAddr::Tcp((text.parse::<IpAddr>().unwrap(), 1).into())
    }

    #[test]
    fn address_waits_after_its_allowed_failures() {
        let (limiter, one, other) = (AuthLimiter::new(10), addr("192.0.2.1"), addr("192.0.2.2"));
        for tenth in 0..10 {
            assert_eq!(limiter.retry_after_at(one, tenth * SECOND / 10), None, "{tenth}");
            limiter.record_failure_at(one, tenth * SECOND / 10);
        }
        let wait = limiter.retry_after_at(one, SECOND).unwrap();
        assert!((4..=6).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(limiter.retry_after_at(other, SECOND), None);
        // One failure expires in each tenth of the minute.
        assert_eq!(limiter.retry_after_at(one, 6 * SECOND), None);
        limiter.record_failure_at(one, 6 * SECOND);
        assert!(limiter.retry_after_at(one, 6 * SECOND).is_some());
        assert_eq!(limiter.retry_after_at(one, 1_000 * SECOND), None);
    }

    #[test]
    fn address_waits_a_minute_if_one_failure_is_allowed() {
        let (limiter, one) = (AuthLimiter::new(1), addr("192.0.2.1"));
        limiter.record_failure_at(one, 0);
        assert!(limiter.retry_after_at(one, 59 * SECOND).is_some());
        assert_eq!(limiter.retry_after_at(one, 60 * SECOND), None);
    }

    #[test]
    fn ipv6_networks_are_counted_separately_and_the_table_is_bounded() {
        let limiter = AuthLimiter::new(1);
        limiter.record_failure_at(addr("2001:db8::1"), 0);
        assert!(limiter.retry_after_at(addr("2001:db8::2"), 0).is_some());
        assert_eq!(limiter.retry_after_at(addr("2001:db8:0:1::1"), 0), None);
        limiter.record_failure_at(RemoteAddr::Unix, 0);
        assert_eq!(limiter.retry_after_at(RemoteAddr::Unix, 0), None);
        for index in 0..10_000_u32 {
            limiter.record_failure_at(RemoteAddr::Tcp((std::net::Ipv4Addr::from(index), 1).into()), index.into());
        }
        assert_eq!(limiter.tat.lock().len(), MAX_ADDRESSES);
    }
}
