//! Limits on the connections of each remote address: how many are open, and how many are opened in a second.

use crate::clock::Timestamp;
use crate::config::LiveConfig;
use crate::http::error::HandshakeFailure;
use crate::network::{HostKey, RemoteAddr};
use crate::recent_hosts::RecentHosts;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

const SECOND_NANOS: u64 = 1_000_000_000;

/// The limits, and the connections that count against them.
pub struct AddressLimits {
    config: Arc<LiveConfig>,
    /// The open connections of each address, which are fewer than all slots.
    open: Mutex<HashMap<HostKey, usize>>,
    /// When all connects of an address would have happened at the limited rate, in nanoseconds of [`Timestamp`].
    connects: Mutex<RecentHosts<u64>>,
}

/// Counts one connection of an address until it is dropped.
pub struct AddressGuard {
    limits: Arc<AddressLimits>,
    host: HostKey,
}

impl AddressLimits {
    /// The limits of a configuration. Trusted proxies are exempt.
    pub fn new(config: Arc<LiveConfig>) -> Arc<Self> {
        Arc::new(AddressLimits { config, open: Mutex::default(), connects: Mutex::default() })
    }

    /// Counts a new connection. Loopback addresses, Unix sockets and exempt peers have no limits: `None`.
    ///
    /// # Errors
    /// The limit that it exceeds. It then isn't counted as open.
    pub fn connect(self: &Arc<Self>, remote_addr: RemoteAddr) -> Result<Option<AddressGuard>, HandshakeFailure> {
        if remote_addr.is_local() {
            return Ok(None);
        }
        self.connect_at(remote_addr, Timestamp::now().nanos())
    }

    fn connect_at(self: &Arc<Self>, addr: RemoteAddr, now: u64) -> Result<Option<AddressGuard>, HandshakeFailure> {
        let Some(ip) = addr.ip() else { return Ok(None) };
        let config = self.config.load();
        let limits = &config.per_address;
        if limits.exempt.contains(addr) || config.proxy.trusted.contains(addr) {
            return Ok(None);
        }
        let host = HostKey::of(ip);
        // Nanoseconds of the rate that one connect takes (GCRA, the generic cell rate algorithm).
        if let Some(interval) = SECOND_NANOS.checked_div(limits.max_connects_per_second as u64) {
            // At least one second's worth, if the number of connections isn't limited.
            let burst = interval * limits.max_connections.max(limits.max_connects_per_second) as u64;
            let mut connects = self.connects.lock();
            let tat = connects.entry(host);
            let next = (*tat).max(now) + interval;
            if next - now > burst {
                return Err(HandshakeFailure::TooManyConnects);
            }
            *tat = next;
        }
        if limits.max_connections > 0 {
            let mut open = self.open.lock();
            let open = open.entry(host).or_insert(0);
            if *open >= limits.max_connections {
                return Err(HandshakeFailure::TooManyConnections);
            }
            *open += 1;
            return Ok(Some(AddressGuard { limits: self.clone(), host }));
        }
        Ok(None)
    }
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        let mut open = self.limits.open.lock();
        let count = open.get_mut(&self.host).expect("each guard was counted");
        *count -= 1;
        if *count == 0 {
            open.remove(&self.host);
            // A storm's memory is given back.
            if open.len() * 8 < open.capacity() {
                open.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::net::IpAddr;

    fn limits(max_connections: usize, max_connects_per_second: usize) -> Arc<AddressLimits> {
        let mut config = Config::new(1000);
        (config.per_address.max_connections, config.per_address.max_connects_per_second) =
            (max_connections, max_connects_per_second);
        assert!(config.per_address.exempt.insert("198.51.100.0/24") && config.proxy.trusted.insert("10.0.0.1"));
        AddressLimits::new(LiveConfig::new(config))
    }

    fn addr(text: &str) -> RemoteAddr {
        RemoteAddr::Tcp((text.parse::<IpAddr>().unwrap(), 1).into())
    }

    #[test]
    fn open_connections_of_each_address_are_limited() {
        let (limits, one) = (limits(2, 0), addr("192.0.2.1"));
        let mut guards: Vec<_> = (0..2).map(|_| limits.connect_at(one, 0).ok().flatten().unwrap()).collect();
        assert_eq!(limits.connect_at(one, 0).err(), Some(HandshakeFailure::TooManyConnections));
        assert!(limits.connect_at(addr("192.0.2.2"), 0).is_ok());
        guards.pop();
        guards.push(limits.connect_at(one, 0).ok().flatten().unwrap());
        drop(guards);
        assert_eq!(limits.open.lock().capacity(), 0, "nothing is kept");
    }

    #[test]
    fn connects_of_each_address_are_limited() {
        let (limits, one) = (limits(20, 10), addr("192.0.2.1"));
        for index in 0..20 {
            assert!(limits.connect_at(one, 0).is_ok(), "{index} of the burst");
        }
        assert_eq!(limits.connect_at(one, 0).err(), Some(HandshakeFailure::TooManyConnects));
        assert!(limits.connect_at(one, SECOND_NANOS / 10).is_ok(), "one more each tenth of a second");
        assert_eq!(limits.connect_at(one, SECOND_NANOS / 10).err(), Some(HandshakeFailure::TooManyConnects));
    }

    #[test]
    fn local_and_exempt_peers_and_trusted_proxies_have_no_limits() {
        let limits = limits(1, 1);
        for peer in [RemoteAddr::Unix, addr("127.0.0.1"), addr("::1"), addr("198.51.100.7"), addr("10.0.0.1")] {
            for _ in 0..3 {
                assert!(matches!(limits.connect(peer), Ok(None)), "{peer}");
            }
        }
    }
}
