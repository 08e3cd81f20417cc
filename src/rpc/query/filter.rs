//! The filter that selects connected clients or closed connections.

use crate::auth::Role;
use crate::client::{CloseReason, CloseRecord, GatewayClient, Health, RemoteAddr};
use crate::labels::Label;
use crate::network::Network;
use crate::rpc::protocol::error::RpcError;
use crate::rpc::protocol::params::Params;
use crate::rpc::query::identities::Identities;
use std::fmt;
use std::time::Duration;

/// The longest duration in a filter: 100 years.
const MAX_SECONDS: f64 = 3_153_600_000.0;

/// Conditions, all of which a client must meet. Every client meets a `None`.
#[derive(Default)]
pub struct Filter {
    role: Option<Role>,
    presence_key: Option<Box<str>>,
    address: Option<AddressFilter>,
    min_idle: Option<Duration>,
    min_connected: Option<Duration>,
    health: Option<Health>,
    /// For closed connections only.
    reason: Option<CloseReason>,
}

impl Filter {
    /// Takes a filter's members from params. A role or presence key that no client can have is an error.
    pub fn take(params: &mut Params<'_>, identities: &Identities) -> Result<Self, RpcError> {
        Ok(Filter {
            role: take_role(params, identities)?,
            presence_key: take_presence_key(params, identities)?,
            address: params.checked("address", AddressFilter::SYNTAX, AddressFilter::parse)?,
            min_idle: params.seconds("min_idle_seconds", 0.0, MAX_SECONDS)?,
            min_connected: params.seconds("min_connected_seconds", 0.0, MAX_SECONDS)?,
            health: params.checked("health", "ok, silent, blocked or closing", Health::parse)?,
            reason: None,
        })
    }

    /// Takes the members of a filter for closed connections, including `reason`.
    pub fn take_closed(params: &mut Params<'_>, identities: &Identities) -> Result<Self, RpcError> {
        let reason = params.checked("reason", "a close reason, such as normal or pong_timeout", CloseReason::parse)?;
        Ok(Filter { reason, ..Self::take(params, identities)? })
    }

    /// Takes `presence_key` or `role`: exactly one if `is_required`, otherwise neither, because `conn_id` is given.
    pub fn take_target(params: &mut Params<'_>, identities: &Identities, is_required: bool) -> Result<Self, RpcError> {
        let (presence_key, role) = (take_presence_key(params, identities)?, take_role(params, identities)?);
        let conflict =
            |member, other| Err(RpcError::invalid_member(member, &format!("can't be combined with {other}")));
        match (&presence_key, &role) {
            (None, None) if is_required => {
                Err(RpcError::invalid_member("conn_id", "one of conn_id, presence_key and role is required"))
            }
            (Some(_), Some(_)) => conflict("role", "presence_key"),
            (Some(_), None) if !is_required => conflict("presence_key", "conn_id"),
            (None, Some(_)) if !is_required => conflict("role", "conn_id"),
            _ => Ok(Filter { presence_key, role, ..Filter::default() }),
        }
    }

    /// Returns whether the filter has no condition.
    pub fn is_empty(&self) -> bool {
        let Filter { role, presence_key, address, min_idle, min_connected, health, reason } = self;
        let no_identity = role.is_none() && presence_key.is_none() && address.is_none();
        no_identity && min_idle.is_none() && min_connected.is_none() && health.is_none() && reason.is_none()
    }

    /// The presence key that a client must have.
    pub fn presence_key(&self) -> Option<&str> {
        self.presence_key.as_deref()
    }

    /// Returns whether a client meets all conditions but the one on its health. It takes no lock.
    pub fn matches(&self, client: &GatewayClient) -> bool {
        let auth = &client.auth;
        self.matches_identity(&auth.role, &auth.presence_key, client.remote_addr)
            && self.min_idle.is_none_or(|min| client.idle() >= min)
            && self.min_connected.is_none_or(|min| client.connected_at.elapsed() >= min)
    }

    /// Returns whether a client meets the condition on its health. It locks the client's outbox.
    pub fn matches_health(&self, client: &GatewayClient) -> bool {
        self.health.is_none_or(|health| client.health() == health)
    }

    /// Returns whether a closed connection met all conditions when it closed.
    pub fn matches_closed(&self, closed: &CloseRecord) -> bool {
        self.matches_identity(&closed.auth.role, &closed.auth.presence_key, closed.remote_addr)
            && self.min_idle.is_none_or(|min| closed.idle >= min)
            && self.min_connected.is_none_or(|min| closed.connected >= min)
            && self.health.is_none_or(|health| closed.health == health)
            && self.reason.is_none_or(|reason| closed.reason == reason)
    }

    fn matches_identity(&self, role: &Role, presence_key: &str, remote_addr: RemoteAddr) -> bool {
        self.role.as_ref().is_none_or(|wanted| wanted == role)
            && self.presence_key.as_deref().is_none_or(|wanted| wanted == presence_key)
            && self.address.as_ref().is_none_or(|wanted| wanted.matches(remote_addr))
    }
}

/// Takes the member `role`.
fn take_role(params: &mut Params<'_>, identities: &Identities) -> Result<Option<Role>, RpcError> {
    let Some(role) = params.text("role")? else { return Ok(None) };
    identities.check_role(&role).map_err(|problem| RpcError::invalid_member("role", &problem))?;
    Ok(Some(Role::from(&*role)))
}

/// Takes the member `presence_key`.
pub fn take_presence_key(params: &mut Params<'_>, identities: &Identities) -> Result<Option<Box<str>>, RpcError> {
    let Some(key) = params.text("presence_key")? else { return Ok(None) };
    identities.check_presence_key(&key).map_err(|problem| RpcError::invalid_member("presence_key", &problem))?;
    Ok(Some(key.into()))
}

/// The conditions as `key=value`, for the log.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Filter { role, presence_key, address, min_idle, min_connected, health, reason } = self;
        let seconds = |duration: &Option<Duration>| duration.map(|duration| duration.as_secs_f64().to_string());
        let conditions = [
            ("role", role.as_ref().map(Role::to_string)),
            ("presence_key", presence_key.as_ref().map(|key| key.to_string())),
            ("address", address.as_ref().map(|address| address.text.to_string())),
            ("min_idle_seconds", seconds(min_idle)),
            ("min_connected_seconds", seconds(min_connected)),
            ("health", health.map(|health| health.to_string())),
            ("reason", reason.map(|reason| reason.to_string())),
        ];
        let present = conditions.into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (index, (name, value)) in present.enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// The condition on a remote address.
struct AddressFilter {
    /// As it was given.
    text: Box<str>,
    addresses: Addresses,
}

/// A set of addresses.
enum Addresses {
    /// Any Unix socket.
    Unix,
    Network(Network),
    /// The addresses that begin with this text.
    Prefix(String),
}

impl AddressFilter {
    const SYNTAX: &str = "an IP address, a network such as 10.0.0.0/8, a prefix such as 10.0. or fd00:, or unix";

    fn parse(text: &str) -> Option<Self> {
        let addresses = match text {
            "unix" => Addresses::Unix,
            prefix if prefix.ends_with(['.', ':']) => parse_prefix(prefix)?,
            network => Addresses::Network(Network::parse(network)?),
        };
        Some(AddressFilter { text: text.into(), addresses })
    }

    fn matches(&self, remote_addr: RemoteAddr) -> bool {
        let Some(ip) = remote_addr.ip() else { return matches!(self.addresses, Addresses::Unix) };
        match &self.addresses {
            Addresses::Unix => false,
            Addresses::Prefix(prefix) => ip.to_string().starts_with(prefix),
            Addresses::Network(network) => network.contains(ip),
        }
    }
}

/// The addresses that begin with complete parts, such as `10.0.` or `fd00:`. `None` if no address does.
fn parse_prefix(text: &str) -> Option<Addresses> {
    if let Some(parts) = text.strip_suffix('.') {
        let byte = |part: &str| part.parse::<u8>().ok().filter(|byte| byte.to_string() == part);
        let bytes: Vec<u8> = parts.split('.').map(byte).collect::<Option<_>>()?;
        let addr = bytes.iter().zip([120, 112, 104]).map(|(byte, shift)| u128::from(*byte) << shift).sum();
        let network = Network::new(addr, 8 * bytes.len() as u32, true);
        return (bytes.len() <= 3).then_some(Addresses::Network(network));
    }
    let group = |part: &str| u16::from_str_radix(part, 16).ok().filter(|_| !part.starts_with('+'));
    let parts = text.strip_suffix(':')?;
    if text.contains("::") {
        // The position of what follows isn't fixed. So the text is compared, as addresses are written.
        let groups = text.split(':').map(|part| match part {
            "" => Some(String::new()),
            part => group(part).map(|group| format!("{group:x}")),
        });
        let prefix = groups.collect::<Option<Vec<_>>>()?.join(":");
        let is_valid = prefix.matches("::").count() == 1 && !prefix.contains(":::");
        return is_valid.then_some(Addresses::Prefix(prefix));
    }
    let groups: Vec<u16> = parts.split(':').map(group).collect::<Option<_>>()?;
    let addr = groups.iter().zip(0..7).map(|(group, index)| u128::from(*group) << (112 - 16 * index)).sum();
    (groups.len() <= 7).then(|| Addresses::Network(Network::new(addr, 16 * groups.len() as u32, false)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn address_filter_matches_address_network_prefix_and_unix() {
        let matches = |filter: &str, addr: &str| {
            let filter = AddressFilter::parse(filter).unwrap_or_else(|| panic!("{filter} is invalid"));
            filter.matches(RemoteAddr::Tcp((addr.parse::<IpAddr>().unwrap(), 1).into()))
        };
        for (filter, addr) in [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3", "::ffff:10.1.2.3"),
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.128.0.0/9", "10.129.0.1"),
            ("0.0.0.0/0", "192.0.2.1"),
            ("::/0", "2001:db8::1"),
            ("2001:db8::/33", "2001:db8:7fff::"),
            ("10.1.", "10.1.2.3"),
            ("2001:DB8:", "2001:db8::1"),
            ("2001:0db8:", "2001:db8::1"),
            ("::1:", "::1:2"),
            ("2001:db8:0:", "2001:db8::1"),
            ("FD00::", "fd00::1"),
        ] {
            assert!(matches(filter, addr), "{filter} {addr}");
        }
        for (filter, addr) in [
            ("10.1.2.3", "10.1.2.4"),
            ("10.128.0.0/9", "10.1.0.1"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "10.1.2.3"),
            ("10.1.", "10.10.0.1"),
            ("2001:db8::/33", "2001:db8:8000::"),
        ] {
            assert!(!matches(filter, addr), "{filter} {addr}");
        }
        for wrong in [
            "",
            "10",
            "10.1",
            "example.com",
            "10.0.0.0/33",
            "10.0.0.0/x",
            "/8",
            "10.0.0.0/",
            "x.",
            "999.",
            "1.2.3.4.",
            "01.",
            ".",
            "1..",
            "12345:",
            "g:",
            "1:2:3:4:5:6:7:8:",
            ":1:",
            ":",
            "+1:",
            "fd00:::",
            "1.2:",
            "::1::",
        ] {
            assert!(AddressFilter::parse(wrong).is_none(), "{wrong}");
        }
        assert!(AddressFilter::parse("unix").unwrap().matches(RemoteAddr::Unix));
        assert!(!AddressFilter::parse("0.0.0.0/0").unwrap().matches(RemoteAddr::Unix));
    }
}
