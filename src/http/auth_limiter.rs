//! The limit on failed authentications of each remote address: GCRA, the generic cell rate algorithm, and a lockout that
//! grows with each failure beyond it.
//!
//! An address may fail `n` times in a burst, and then once every 60/`n` seconds. A valid credential is accepted during a
//! lockout too, since other clients may have the same address.

use crate::clock::Timestamp;
use crate::config::LiveConfig;
use crate::network::{HostKey, RemoteAddr};
use crate::recent_hosts::RecentHosts;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// In nanoseconds.
const MINUTE_NANOS: u64 = 60_000_000_000;

/// The first lockout; each further one is twice as long.
const FIRST_LOCKOUT: Duration = Duration::from_secs(5);
/// The longest lockout.
const MAX_LOCKOUT: Duration = Duration::from_secs(3600);

/// Records the failures of each address. All times are in nanoseconds of [`Timestamp`].
pub struct AuthLimiter {
    config: Arc<LiveConfig>,
    failures: Mutex<RecentHosts<Failures>>,
}

/// The failures of one address.
#[derive(Clone, Copy, Default)]
struct Failures {
    /// The theoretical arrival time: when all failures will have expired.
    tat: u64,
    locked_until: u64,
    lockouts: u32,
}

impl AuthLimiter {
    /// The limit of a configuration. Exempt peers, trusted proxies and peers at Unix sockets have none.
    pub fn new(config: Arc<LiveConfig>) -> Self {
        AuthLimiter { config, failures: Mutex::default() }
    }

    /// Records a failed authentication. Returns how long the address is locked out; `None` if it isn't.
    pub fn record_failure(&self, remote_addr: RemoteAddr) -> Option<Duration> {
        self.record_failure_at(remote_addr, Timestamp::now().nanos())
    }

    /// The first lockout of an address.
    pub fn first_lockout(&self) -> Duration {
        FIRST_LOCKOUT
    }

    fn record_failure_at(&self, remote_addr: RemoteAddr, now: u64) -> Option<Duration> {
        let ip = remote_addr.ip()?;
        let config = self.config.load();
        if config.per_address.exempt.contains(remote_addr) || config.proxy.trusted.contains(remote_addr) {
            return None;
        }
        // Until one failure expires.
        let emission_interval = MINUTE_NANOS / config.per_address.max_failures_per_minute.max(1) as u64;
        let mut table = self.failures.lock();
        let failures = table.entry(HostKey::of(ip));
        if failures.tat.max(failures.locked_until) <= now {
            *failures = Failures::default();
        }
        failures.tat = failures.tat.max(now) + emission_interval;
        if failures.tat - now <= MINUTE_NANOS && failures.locked_until <= now {
            return None;
        }
        let lockout = FIRST_LOCKOUT.saturating_mul(1 << failures.lockouts.min(16)).min(MAX_LOCKOUT);
        failures.lockouts += 1;
        failures.locked_until = now + lockout.as_nanos() as u64;
        Some(lockout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::net::IpAddr;

    const SECOND: u64 = 1_000_000_000;

    fn limiter(max_per_minute: usize) -> AuthLimiter {
        let mut config = Config::new(100);
        config.per_address.max_failures_per_minute = max_per_minute;
        assert!(config.per_address.exempt.insert("198.51.100.0/24") && config.proxy.trusted.insert("10.0.0.1"));
        AuthLimiter::new(LiveConfig::new(config))
    }

    fn addr(text: &str) -> RemoteAddr {
        RemoteAddr::Tcp((text.parse::<IpAddr>().unwrap(), 1).into())
    }

    #[test]
    fn address_is_locked_out_after_its_allowed_failures() {
        let (limiter, one, other) = (limiter(10), addr("192.0.2.1"), addr("192.0.2.2"));
        for tenth in 0..10 {
            assert_eq!(limiter.record_failure_at(one, SECOND + tenth * SECOND / 10), None, "{tenth}");
        }
        assert_eq!(limiter.record_failure_at(one, 2 * SECOND), Some(FIRST_LOCKOUT));
        assert_eq!(limiter.record_failure_at(other, 2 * SECOND), None);
        // Each failure during a lockout doubles it, up to an hour.
        let lockouts: Vec<u64> =
            (0..12).map(|_| limiter.record_failure_at(one, 3 * SECOND).unwrap().as_secs()).collect();
        assert_eq!(lockouts, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
        assert_eq!(limiter.record_failure_at(one, 3700 * SECOND), None, "everything has expired");
    }

    #[test]
    fn failures_at_the_allowed_rate_lock_nobody_out() {
        let (limiter, one) = (limiter(1), addr("192.0.2.1"));
        for minute in 1..10 {
            assert_eq!(limiter.record_failure_at(one, minute * MINUTE_NANOS), None);
        }
        assert!(limiter.record_failure_at(one, 10 * MINUTE_NANOS - SECOND).is_some());
    }

    #[test]
    fn networks_are_counted_separately_and_exempt_peers_not_at_all() {
        let limiter = limiter(1);
        assert_eq!(limiter.record_failure_at(addr("2001:db8::1"), 0), None);
        assert!(limiter.record_failure_at(addr("2001:db8::2"), 0).is_some());
        assert_eq!(limiter.record_failure_at(addr("2001:db8:0:1::1"), 0), None);
        for _ in 0..3 {
            assert_eq!(limiter.record_failure_at(RemoteAddr::Unix, 0), None);
            assert_eq!(limiter.record_failure_at(addr("198.51.100.1"), 0), None);
            assert_eq!(limiter.record_failure_at(addr("10.0.0.1"), 0), None);
        }
    }
}
