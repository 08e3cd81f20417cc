//! Failed authentications, limited for each address: so many at once, and as many again in each minute.

use crate::client::RemoteAddr;
use crate::clock::Moment;
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
pub struct Failures {
    /// Nanoseconds.
    cost: u64,
    /// When, in nanoseconds, nothing will be owed any more.
    paid_at: Mutex<HashMap<IpAddr, u64>>,
}

impl Failures {
    /// At most so many failures of one address in a minute.
    pub(super) fn new(most_per_minute: usize) -> Self {
        Failures { cost: MINUTE / most_per_minute as u64, paid_at: Mutex::default() }
    }

    /// How long an address is refused; `None` when it isn't.
    pub(super) fn blocked(&self, remote_addr: RemoteAddr) -> Option<Duration> {
        self.blocked_at(remote_addr, Moment::now().nanos())
    }

    /// One more failure.
    pub(super) fn add(&self, remote_addr: RemoteAddr) {
        self.add_at(remote_addr, Moment::now().nanos());
    }

    fn blocked_at(&self, remote_addr: RemoteAddr, now: u64) -> Option<Duration> {
        let owed = self.paid_at.lock().get(&host(remote_addr)?)?.saturating_sub(now);
        let over = owed.checked_sub(MINUTE - self.cost).filter(|over| *over > 0)?;
        Some(Duration::from_nanos(over))
    }

    fn add_at(&self, remote_addr: RemoteAddr, now: u64) {
        let Some(host) = host(remote_addr) else { return };
        let mut all = self.paid_at.lock();
        if all.len() >= ADDRESSES && !all.contains_key(&host) {
            all.retain(|_, paid_at| *paid_at > now);
            if all.len() >= ADDRESSES
                && let Some(least) = all.iter().min_by_key(|(_, paid_at)| **paid_at).map(|(host, _)| *host)
            {
                all.remove(&least);
            }
        }
        let paid_at = all.entry(host).or_insert(now);
        *paid_at = (*paid_at).max(now) + self.cost;
    }
}

/// Who is limited together. A Unix socket's clients are this machine's, and let in by the path's mode.
fn host(remote_addr: RemoteAddr) -> Option<IpAddr> {
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
        let (failures, one, other) = (Failures::new(10), addr("192.0.2.1"), addr("192.0.2.2"));
        for second in 0..10 {
            assert_eq!(failures.blocked_at(one, second * SECOND / 10), None, "{second}");
            failures.add_at(one, second * SECOND / 10);
        }
        let wait = failures.blocked_at(one, SECOND).unwrap();
        assert!((4..=6).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(failures.blocked_at(other, SECOND), None);
        // One more for each part of the minute.
        assert_eq!(failures.blocked_at(one, 6 * SECOND), None);
        failures.add_at(one, 6 * SECOND);
        assert!(failures.blocked_at(one, 6 * SECOND).is_some());
        assert_eq!(failures.blocked_at(one, 1_000 * SECOND), None);
    }

    #[test]
    fn one_is_enough_where_only_one_is_allowed() {
        let (failures, one) = (Failures::new(1), addr("192.0.2.1"));
        failures.add_at(one, 0);
        assert!(failures.blocked_at(one, 59 * SECOND).is_some());
        assert_eq!(failures.blocked_at(one, 60 * SECOND), None);
    }

    #[test]
    fn hosts_are_told_apart_and_the_table_is_bounded() {
        let failures = Failures::new(1);
        failures.add_at(addr("2001:db8::1"), 0);
        assert!(failures.blocked_at(addr("2001:db8::2"), 0).is_some());
        assert_eq!(failures.blocked_at(addr("2001:db8:0:1::1"), 0), None);
        failures.add_at(RemoteAddr::Unix, 0);
        assert_eq!(failures.blocked_at(RemoteAddr::Unix, 0), None);
        for index in 0..10_000_u32 {
            failures.add_at(RemoteAddr::Tcp((std::net::Ipv4Addr::from(index), 1).into()), index.into());
        }
        assert_eq!(failures.paid_at.lock().len(), ADDRESSES);
    }
}
