//! Addresses of peers, networks, and sets of both.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;

/// A peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAddr {
    /// The address of a TCP connection. The port is 0 if a proxy didn't pass it on.
    Tcp(SocketAddr),
    /// A Unix socket, whose clients have no address.
    Unix,
}

impl RemoteAddr {
    /// The IP address, one that is mapped to IPv6 as IPv4; `None` for a Unix socket.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            RemoteAddr::Tcp(addr) => Some(addr.ip().to_canonical()),
            RemoteAddr::Unix => None,
        }
    }

    /// Whether the peer is on this machine: a Unix socket, or a loopback address.
    pub fn is_local(self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }
}

impl fmt::Display for RemoteAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAddr::Tcp(addr) if addr.port() == 0 => addr.ip().fmt(f),
            RemoteAddr::Tcp(addr) => addr.fmt(f),
            RemoteAddr::Unix => f.write_str("unix"),
        }
    }
}

/// The key under which a host is counted: an IPv4 address, or an IPv6 /64 network, of which one host can use all
/// addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostKey(NonZeroU64);

impl HostKey {
    /// The key of an address.
    pub fn of(ip: IpAddr) -> Self {
        // The keys of IPv4 addresses are those of IPv6 networks that no host has: 0:1::/32.
        let bits = match ip.to_canonical() {
            IpAddr::V4(ip) => 1 << 32 | u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        HostKey(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }
}

/// A network: the first bits of an address (RFC 4632, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    addr: u128,
    bits: u32,
    is_ipv4: bool,
}

impl Network {
    /// The network of the first `bits` bits of `addr`, whose first bit is in the highest position.
    pub fn new(addr: u128, bits: u32, is_ipv4: bool) -> Self {
        Network { addr, bits, is_ipv4 }
    }

    /// Parses an address, `10.1.2.3`, or a network, `10.0.0.0/8`.
    pub fn parse(text: &str) -> Option<Self> {
        let (addr, bits) = text.split_once('/').map_or((text, None), |(addr, bits)| (addr, Some(bits)));
        let addr = addr.parse::<IpAddr>().ok()?.to_canonical();
        let max_bits = if addr.is_ipv4() { 32 } else { 128 };
        let is_number = |bits: &&str| bits.bytes().all(|c| c.is_ascii_digit());
        let bits = match bits {
            None => max_bits,
            Some(bits) => Some(bits).filter(is_number)?.parse().ok().filter(|bits| *bits <= max_bits)?,
        };
        Some(Network::new(align_left(addr), bits, addr.is_ipv4()))
    }

    /// Whether an address is in the network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let differing = self.addr ^ align_left(ip);
        self.is_ipv4 == ip.is_ipv4() && differing.checked_shr(128 - self.bits).unwrap_or(0) == 0
    }
}

/// The bits of an address, the first bit in the highest position.
fn align_left(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()) << 96,
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

/// A set of peers: networks, and the peers at Unix sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSet {
    networks: Vec<Network>,
    has_unix: bool,
    /// The entries as they were written.
    entries: Vec<String>,
}

impl PeerSet {
    /// Adds an address, a network or `unix`. Returns whether `text` is one of them.
    pub fn insert(&mut self, text: &str) -> bool {
        let network = Network::parse(text);
        self.has_unix |= text == "unix";
        self.networks.extend(network);
        let is_valid = network.is_some() || text == "unix";
        if is_valid {
            self.entries.push(text.to_owned());
        }
        is_valid
    }

    /// The entries as they were written.
    pub fn entries(&self) -> &[String] {
        &self.entries
    }

    /// Whether the set has no peers.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.has_unix
    }

    /// Whether a peer is in the set.
    pub fn contains(&self, remote_addr: RemoteAddr) -> bool {
        remote_addr.ip().map_or(self.has_unix, |ip| self.networks.iter().any(|network| network.contains(ip)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> RemoteAddr {
        RemoteAddr::Tcp((text.parse::<IpAddr>().unwrap(), 1).into())
    }

    #[test]
    fn peer_set_has_networks_and_unix_sockets() {
        let mut peers = PeerSet::default();
        assert!(peers.is_empty() && !peers.contains(RemoteAddr::Unix));
        for wrong in ["", "10", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "localhost", "UNIX"] {
            assert!(!peers.insert(wrong), "{wrong}");
        }
        assert!(peers.insert("10.0.0.0/8") && peers.insert("2001:db8::1") && !peers.is_empty());
        for (text, is_in) in
            [("10.255.0.1", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false), ("2001:db8::1", true)]
        {
            assert_eq!(peers.contains(addr(text)), is_in, "{text}");
        }
        assert!(!peers.contains(RemoteAddr::Unix));
        assert!(peers.insert("unix") && peers.contains(RemoteAddr::Unix));
    }

    #[test]
    fn host_key_is_an_ipv4_address_or_an_ipv6_64_network() {
        let key = |text: &str| HostKey::of(text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("::1"), key("0.0.0.1"));
        assert_eq!(size_of::<Option<HostKey>>(), 8);
    }

    #[test]
    fn peer_is_local_at_a_loopback_address_or_a_unix_socket() {
        for (text, is_local) in [("127.9.9.9", true), ("::1", true), ("::ffff:127.0.0.1", true), ("192.0.2.1", false)] {
            assert_eq!(addr(text).is_local(), is_local, "{text}");
        }
        assert!(RemoteAddr::Unix.is_local());
        let without_port = RemoteAddr::Tcp(([192, 0, 2, 1], 0).into());
        assert_eq!(without_port.to_string(), "192.0.2.1");
    }
}
