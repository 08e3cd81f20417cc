//! Every setting with its default. Where they come from (file, flags) is in the modules below.
//!
//! Knows credentials, and nothing of the parts that the settings are for.

mod credentials;
mod document;
mod error;
mod load;
mod parse;
mod secrets;

pub use error::{ConfigError, Problem};
pub use load::load;
pub use parse::{LISTEN_SYNTAX, NAME_SYNTAX, SCOPE_SYNTAX, is_name, is_scope, parse_level, parse_listen};

use crate::auth::{Authenticator, Role};
use log::LevelFilter;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// No `limits.max_connections` can be more.
pub const MAX_CONNECTIONS: usize = (1 << 21) - 1;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// An IP address and a port; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl ListenAddr {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            ListenAddr::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            ListenAddr::Unix(_) => true,
        }
    }

    /// Whether both name one address. Port 0 is another one each time.
    pub fn is_same(&self, other: &ListenAddr) -> bool {
        self == other && self.overlaps(other)
    }

    /// Whether both would accept the same connections.
    pub fn overlaps(&self, other: &ListenAddr) -> bool {
        match (self, other) {
            (ListenAddr::Tcp(a), ListenAddr::Tcp(b)) => {
                let any = a.ip().is_unspecified() || b.ip().is_unspecified();
                a.port() == b.port() && a.port() != 0 && (any || a.ip() == b.ip())
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Tcp(addr) => addr.fmt(f),
            ListenAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; never empty.
    pub listen: Vec<ListenAddr>,
    /// `SO_REUSEPORT` on the TCP addresses: several gateways of one user share them.
    pub listen_reuse_port: bool,
    /// What is logged.
    pub log_level: LevelFilter,
    /// `[handshake]`
    pub handshake: HandshakeConfig,
    /// `[heartbeat]`
    pub heartbeat: HeartbeatConfig,
    /// `[limits]`
    pub limits: Limits,
    /// `[auth]`: who is let in.
    pub auth: Authenticator,
    /// `auth.allow_insecure`: listen beyond this machine though anybody is let in.
    pub allow_insecure: bool,
    /// `[presence]`
    pub presence: PresencePolicies,
    /// `[calls]`
    pub calls: CallLimits,
    /// `[ops]`
    pub ops: AdminConfig,
    /// `[shutdown]`
    pub shutdown: ShutdownConfig,
}

/// From the accepted connection to the open WebSocket.
#[derive(Clone, Debug)]
pub struct HandshakeConfig {
    /// From accept until the WebSocket is open.
    pub timeout: Duration,
    /// Origins of web pages that may connect beside those of the gateway's own host; `*` is any.
    pub allowed_origins: Vec<String>,
    /// The request line and all headers, in bytes.
    pub max_header_bytes: usize,
    /// How long a connection that was answered a plain request may go without another.
    pub idle_timeout: Duration,
}

/// Keeping clients alive, and noticing those that are not.
#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    /// Between two pings to a client.
    pub interval: Duration,
    /// From a ping until something must have come from the client; at most `interval`.
    pub timeout: Duration,
}

/// Bounds.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once, of any kind.
    pub max_connections: usize,
    /// A message from a client, in bytes.
    pub max_message_bytes: usize,
    /// Requests in one JSON-RPC batch.
    pub max_batch_requests: usize,
    /// Topics that one client may subscribe to.
    pub max_subscriptions: usize,
    /// Ended connections that are remembered.
    pub closed_connections: usize,
    /// Messages waiting for one client.
    pub outbox_max_messages: usize,
    /// Payload bytes waiting for one client.
    pub outbox_max_bytes: usize,
    /// How long a write may make no progress.
    pub write_timeout: Duration,
    /// From our close frame to the end, whatever the peer does.
    pub close_timeout: Duration,
}

/// What a second connection with the same presence key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresencePolicy {
    /// Both stay.
    Allow,
    /// The older is closed.
    Replace,
    /// It is refused.
    Reject,
}

impl PresencePolicy {
    /// The policy that a word of the configuration means.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "allow" => Some(PresencePolicy::Allow),
            "replace" => Some(PresencePolicy::Replace),
            "reject" => Some(PresencePolicy::Reject),
            _ => None,
        }
    }
}

/// The policy of each role; of roles that aren't named, [`PresencePolicy::Allow`].
#[derive(Clone, Debug)]
pub struct PresencePolicies(pub Vec<(Role, PresencePolicy)>);

impl PresencePolicies {
    pub(crate) fn set(&mut self, role: Role, policy: PresencePolicy) {
        match self.0.iter_mut().find(|(named, _)| *named == role) {
            Some((_, old)) => *old = policy,
            None => self.0.push((role, policy)),
        }
    }

    /// The policy of a role.
    pub fn policy_for(&self, role: &Role) -> PresencePolicy {
        let named = self.0.iter().find(|(named, _)| named == role);
        named.map_or(PresencePolicy::Allow, |(_, policy)| *policy)
    }
}

/// CallLimits of methods on nodes.
#[derive(Clone, Debug)]
pub struct CallLimits {
    /// How long a node may take, unless its caller says otherwise.
    pub timeout: Duration,
    /// CallLimits under way of one caller.
    pub max_per_caller: usize,
    /// CallLimits under way to one node.
    pub max_per_node: usize,
}

/// The operators' HTTP.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where it is served; empty: where clients connect.
    pub listen: Vec<ListenAddr>,
    /// Failed authentications of one address in a minute, beyond which it is refused.
    pub max_failures_per_minute: usize,
}

/// How the gateway ends.
#[derive(Clone, Debug)]
pub struct ShutdownConfig {
    /// Over how long the clients' close frames may be spread, and when those that linger are cut.
    pub drain_timeout: Duration,
}

impl Config {
    /// Descriptors that are not for connections: standard streams, epoll, listeners, the journal, and connections
    /// beyond `max_connections` that are answered 503.
    pub const RESERVED_DESCRIPTORS: usize = 100;

    /// The embedded default, for a process that may open `descriptors` descriptors: anybody on this machine is let
    /// in, nobody else.
    pub fn new(descriptors: usize) -> Self {
        Config {
            listen: vec![ListenAddr::Tcp(([127, 0, 0, 1], 8080).into())],
            listen_reuse_port: false,
            log_level: LevelFilter::Info,
            handshake: HandshakeConfig {
                timeout: Duration::from_secs(5),
                allowed_origins: Vec::new(),
                max_header_bytes: 16 * 1024,
                idle_timeout: Duration::from_secs(60),
            },
            heartbeat: HeartbeatConfig { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) },
            limits: Limits {
                max_connections: Self::max_connections_for(descriptors),
                max_message_bytes: 1024 * 1024,
                max_batch_requests: 100,
                max_subscriptions: 100,
                closed_connections: 1000,
                outbox_max_messages: 1024,
                outbox_max_bytes: 4 * 1024 * 1024,
                write_timeout: Duration::from_secs(10),
                close_timeout: Duration::from_secs(2),
            },
            auth: Authenticator::none(),
            allow_insecure: false,
            presence: PresencePolicies(vec![
                (Role::Operator, PresencePolicy::Allow),
                (Role::Node, PresencePolicy::Replace),
            ]),
            calls: CallLimits { timeout: Duration::from_secs(30), max_per_caller: 1000, max_per_node: 1000 },
            ops: AdminConfig { listen: Vec::new(), max_failures_per_minute: 10 },
            shutdown: ShutdownConfig { drain_timeout: Duration::from_secs(20) },
        }
    }

    /// How many connections a process that may open `descriptors` descriptors can have.
    pub fn max_connections_for(descriptors: usize) -> usize {
        descriptors.saturating_sub(Self::RESERVED_DESCRIPTORS).clamp(1, MAX_CONNECTIONS)
    }

    /// What is wrong if others than this machine could reach an address although anybody is let in.
    pub fn exposure_error(&self) -> Option<String> {
        self.exposure_error_of("listen", &self.listen)
            .or_else(|| self.exposure_error_of("ops.listen", &self.ops.listen))
    }

    fn exposure_error_of(&self, setting: &str, addrs: &[ListenAddr]) -> Option<String> {
        let exposed = self.auth.allows_anonymous() && !self.allow_insecure;
        let addr = addrs.iter().find(|addr| exposed && !addr.is_local())?;
        Some(format!(
            "{setting} \"{addr}\" would let anybody in; allowed while auth.mode is \"none\": 127.0.0.1, [::1], unix: \
             paths, or auth.allow_insecure = true"
        ))
    }
}
