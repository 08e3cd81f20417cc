//! Failed authentications, limited for each address: so many at once, and as many again in each minute.

use crate::client::RemoteAddr;
use crate::clock::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

const MINUTE: u64 = 60_000_000_000;

/// Addresses that are remembered. Beyond them, the one that is nearest to being forgotten is.
const ADDRESSES: usize = 4096;

/// An IPv6 host has all of these bits to itself.
const IPV6_HOST_BITS: u128 = u64::MAX as u128;

/// What addresses owe: each failure costs a part of a minute, and time pays it off.
pub struct AuthLimiter {
    /// Nanoseconds.
    emission_interval: u64,
    /// When, in nanoseconds, nothing will be owed any more.
    tat: Mutex<HashMap<IpAddr, u64>>,
}

impl AuthLimiter {
    /// At most so many limiter of one address in a minute.
    pub(crate) fn new(most_per_minute: usize) -> Self {
        AuthLimiter { emission_interval: MINUTE / most_per_minute as u64, tat: Mutex::default() }
    }

    /// How long an address is refused; `None` when it isn't.
    pub(crate) fn retry_after(&self, remote_addr: RemoteAddr) -> Option<Duration> {
        self.retry_after_at(remote_addr, Timestamp::now().nanos())
    }

    /// One more failure.
    pub(crate) fn record_failure(&self, remote_addr: RemoteAddr) {
        self.record_failure_at(remote_addr, Timestamp::now().nanos());
    }

    fn retry_after_at(&self, remote_addr: RemoteAddr, now: u64) -> Option<Duration> {
        let owed = self.tat.lock().get(&limit_key(remote_addr)?)?.saturating_sub(now);
        let over = owed.checked_sub(MINUTE - self.emission_interval).filter(|over| *over > 0)?;
        Some(Duration::from_nanos(over))
    }

    fn record_failure_at(&self, remote_addr: RemoteAddr, now: u64) {
        let Some(host) = limit_key(remote_addr) else { return };
        let mut all = self.tat.lock();
        if all.len() >= ADDRESSES && !all.contains_key(&host) {
            all.retain(|_, tat| *tat > now);
            if all.len() >= ADDRESSES
                && let Some(least) = all.iter().min_by_key(|(_, tat)| **tat).map(|(host, _)| *host)
            {
                all.remove(&least);
            }
        }
        let tat = all.entry(host).or_insert(now);
        *tat = (*tat).max(now) + self.emission_interval;
    }
}

/// Who is limited together. A Unix socket's clients are this machine's, and let in by the path's mode.
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
    fn an_address_fails_so_often_and_then_waits() {
        let (limiter, one, other) = (AuthLimiter::new(10), addr("192.0.2.1"), addr("192.0.2.2"));
        for second in 0..10 {
            assert_eq!(limiter.retry_after_at(one, second * SECOND / 10), None, "{second}");
            limiter.record_failure_at(one, second * SECOND / 10);
        }
        let wait = limiter.retry_after_at(one, SECOND).unwrap();
        assert!((4..=6).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(limiter.retry_after_at(other, SECOND), None);
        // One more for each part of the minute.
        assert_eq!(limiter.retry_after_at(one, 6 * SECOND), None);
        limiter.record_failure_at(one, 6 * SECOND);
        assert!(limiter.retry_after_at(one, 6 * SECOND).is_some());
        assert_eq!(limiter.retry_after_at(one, 1_000 * SECOND), None);
    }

    #[test]
    fn one_is_enough_where_only_one_is_allowed() {
        let (limiter, one) = (AuthLimiter::new(1), addr("192.0.2.1"));
        limiter.record_failure_at(one, 0);
        assert!(limiter.retry_after_at(one, 59 * SECOND).is_some());
        assert_eq!(limiter.retry_after_at(one, 60 * SECOND), None);
    }

    #[test]
    fn hosts_are_told_apart_and_the_table_is_bounded() {
        let limiter = AuthLimiter::new(1);
        limiter.record_failure_at(addr("2001:db8::1"), 0);
        assert!(limiter.retry_after_at(addr("2001:db8::2"), 0).is_some());
        assert_eq!(limiter.retry_after_at(addr("2001:db8:0:1::1"), 0), None);
        limiter.record_failure_at(RemoteAddr::Unix, 0);
        assert_eq!(limiter.retry_after_at(RemoteAddr::Unix, 0), None);
        for index in 0..10_000_u32 {
            limiter.record_failure_at(RemoteAddr::Tcp((std::net::Ipv4Addr::from(index), 1).into()), index.into());
        }
        assert_eq!(limiter.tat.lock().len(), ADDRESSES);
    }
}
