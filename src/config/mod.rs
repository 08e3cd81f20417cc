//! Every setting with its default and bounds; the submodules read them from a file.
//!
//! Independent of the modules that use the settings.

mod checks;
mod credentials;
mod document;
mod error;
mod files;
mod listen;
mod live;
mod load;
mod memory_limit;
mod parse;
mod secret;
#[doc(hidden)]
pub mod settings;
mod suggest;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Problem};
pub(crate) use files::is_absent;
pub(crate) use listen::unmapped;
pub use listen::{ListenAddr, parse_listen};
#[doc(hidden)]
pub use live::LiveConfig;
pub use load::load;
#[doc(hidden)]
pub use load::read_text;
pub use memory_limit::MemoryLimit;
pub use parse::{NAME_SYNTAX, SCOPE_SYNTAX, is_name, is_scope, parse_level};
pub(crate) use parse::{default_port, parse_origin, split_port};
pub(crate) use suggest::did_you_mean;

use crate::auth::{Authenticator, Role};
use crate::labels::labels;
use crate::network::PeerSet;
use log::LevelFilter;
use std::time::Duration;

/// All settings. [`load()`] checks the bounds given here; a `Config` that is built in code isn't checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `listen`: the addresses for clients; never empty.
    pub listen: Vec<ListenAddr>,
    /// `listen_reuse_port`: sets `SO_REUSEPORT` on TCP sockets, so that several gateways of one user share an address.
    pub listen_reuse_port: bool,
    /// `log_level`: the most verbose level that is logged.
    pub log_level: LevelFilter,
    /// `[handshake]`
    pub handshake: HandshakeConfig,
    /// `[proxy]`
    pub proxy: ProxyConfig,
    /// `[per_address]`
    pub per_address: PerAddressLimits,
    /// `[heartbeat]`
    pub heartbeat: HeartbeatConfig,
    /// `[limits]`
    pub limits: Limits,
    /// `[auth]`: how clients authenticate.
    pub auth: Authenticator,
    /// `auth.allow_insecure`: allows addresses that other machines can reach even if no credentials are required.
    pub allow_insecure: bool,
    /// `[presence]`
    pub presence: PresencePolicies,
    /// `[calls]`
    pub calls: CallLimits,
    /// `[ops]`
    pub ops: AdminConfig,
    /// `[shutdown]`
    pub shutdown: ShutdownConfig,
    /// What [`load()`] found to be valid but probably a mistake.
    pub warnings: Vec<Problem>,
}

/// Opening handshakes, and plain HTTP connections.
#[derive(Clone, Debug)]
pub struct HandshakeConfig {
    /// The time from accept until the WebSocket is open; 10 ms to 1 h.
    pub timeout: Duration,
    /// Origins of web pages that may connect besides the gateway's own host, in lower case and without default ports.
    /// `*` allows any; a host that begins with `*.` stands for all names below it.
    pub allowed_origins: Vec<String>,
    /// Maximum connections whose first request hasn't arrived, up to 1,000,000,000; beyond it the oldest is dropped. 0 for
    /// a quarter of `limits.max_connections`, see [`Config::max_in_progress`].
    pub max_in_progress: usize,
    /// Connections that are accepted in a second, on average; 0 for no limit, up to 1,000,000. The others wait in the
    /// kernel's queue.
    pub max_per_second: usize,
    /// Maximum bytes of the request line and all headers; 8,192 to 65,536.
    pub max_header_bytes: usize,
    /// Whether a refused handshake is upgraded and closed with a close code, instead of an HTTP status that browsers
    /// hide from pages.
    pub refuse_in_band: bool,
    /// How long a keep-alive connection may wait for its next request; 10 ms to 1 h.
    pub idle_timeout: Duration,
}

/// Proxies in front of the gateway, which pass on the addresses of clients.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// The proxies that are believed.
    pub trusted: PeerSet,
    /// The header in which they pass on a client's address.
    pub header: ForwardingHeader,
    /// Whether a trusted proxy begins each connection with a PROXY protocol header. Not at the addresses of `ops.listen`.
    pub protocol: bool,
}

labels! {
    /// The header in which a proxy passes on a client's address.
    pub enum ForwardingHeader {
        /// `X-Forwarded-For`: a list of addresses.
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded",
    }
}

/// Limits on each remote address; an IPv6 /64 network counts as one address. Loopback addresses, Unix sockets and trusted
/// proxies have no limits.
#[derive(Clone, Debug)]
pub struct PerAddressLimits {
    /// Maximum concurrent connections, and how many may be opened at once; 0 for no limit, up to 1,000,000.
    pub max_connections: usize,
    /// New connections in a second, on average; 0 for no limit, up to 1,000,000.
    pub max_connects_per_second: usize,
    /// Failed authentications in a minute, at `/ws` and the admin API together; 1 to 1,000,000.
    pub max_failures_per_minute: usize,
    /// Peers without these limits.
    pub exempt: PeerSet,
}

/// Pings, and the deadline for their answers.
#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    /// The time between two pings to a client; 10 ms to 1 h.
    pub interval: Duration,
    /// How long a client may stay silent after a ping; at least 10 ms, at most `interval`.
    pub timeout: Duration,
}

/// Limits on the gateway and on each client.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Maximum concurrent connections of any kind; 1 to [`Config::max_connections_for`] of the descriptor limit.
    pub max_connections: usize,
    /// Maximum bytes of a message from a client; 125 to 64 MiB.
    pub max_message_bytes: usize,
    /// Maximum requests in one JSON-RPC batch; 1 to 10,000.
    pub max_batch_requests: usize,
    /// Maximum topics that one client is subscribed to; 1 to 10,000.
    pub max_subscriptions: usize,
    /// Number of closed connections that `clients.closed` remembers; 0 to 1,000,000.
    pub closed_connections: usize,
    /// Maximum bytes that wait for one client, of which each message counts 64 in addition to its payload; 1 KiB to
    /// 1 GiB, and at least twice `max_message_bytes`.
    pub outbox_max_bytes: usize,
    /// Maximum bytes that all clients together may make the gateway hold: what is queued for them, and what they have
    /// sent that is unfinished or not handled yet.
    pub max_memory_for_clients: MemoryLimit,
    /// Messages and control frames that a client may send in a second, on average; 0 for no limit, up to 1,000,000.
    pub max_messages_per_second: usize,
    /// Bytes that a client may send in a second, on average, frame headers included; 0 for no limit, up to 1 GiB.
    pub max_bytes_per_second: usize,
    /// How many seconds' worth of both a client may send at once; 10 ms to 1 h. Beyond it nothing is read from the
    /// client until it is within its rate again.
    pub rate_burst: Duration,
    /// How long a client may keep sending more than its rate before it is closed; 10 ms to 1 h.
    pub rate_timeout: Duration,
    /// How long a client's socket may accept no data; 10 ms to 1 h.
    pub write_timeout: Duration,
    /// How long a client may be connected, less a random part of up to a tenth, so that clients that connected together
    /// don't reconnect together; up to a year. Zero for no limit.
    pub max_lifetime: Duration,
    /// The time for queued messages and the close handshake after a close is requested; 10 ms to 1 h.
    pub close_timeout: Duration,
}

labels! {
    /// What happens when a client connects with a presence key that is in use.
    pub enum PresencePolicy {
        /// Both stay connected.
        Allow = "allow",
        /// The older one is closed.
        Replace = "replace",
        /// The newer one is rejected with HTTP status 409.
        Reject = "reject",
    }
}

/// The policy for each role; one that isn't listed has [`PresencePolicy::Allow`].
#[derive(Clone, Debug)]
pub struct PresencePolicies(pub Vec<(Role, PresencePolicy)>);

impl PresencePolicies {
    pub(crate) fn set(&mut self, role: Role, policy: PresencePolicy) {
        match self.0.iter_mut().find(|(named, _)| *named == role) {
            Some((_, old)) => *old = policy,
            None => self.0.push((role, policy)),
        }
    }

    /// The policies of all roles but `operator` and `node`, as they are written in a file, ordered by role.
    pub(crate) fn other_policies(&self) -> String {
        let others = self.0.iter().filter(|(role, _)| matches!(role, Role::Other(_)));
        let mut lines: Vec<String> = others.map(|(role, policy)| format!("{role} = \"{policy}\"")).collect();
        lines.sort();
        lines.join("\n")
    }

    /// The policy of a role.
    pub fn policy_for(&self, role: &Role) -> PresencePolicy {
        let named = self.0.iter().find(|(named, _)| named == role);
        named.map_or(PresencePolicy::Allow, |(_, policy)| *policy)
    }
}

/// Limits on calls to nodes.
#[derive(Clone, Debug)]
pub struct CallLimits {
    /// How long a node may take to answer, unless the caller sets its own timeout; 10 ms to 1 h.
    pub timeout: Duration,
    /// Maximum pending calls of one caller; 1 to 1,000,000.
    pub max_per_caller: usize,
    /// Maximum pending calls to one node; 1 to 1,000,000.
    pub max_per_node: usize,
}

/// `/status` and the admin API over HTTP.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Separate addresses for `/status` and the admin API. If empty, they are served on [`Config::listen`].
    pub listen: Vec<ListenAddr>,
}

/// A graceful shutdown.
#[derive(Clone, Debug)]
pub struct ShutdownConfig {
    /// How long a drain may take: close frames are spread over at most three quarters of it, and clients that are still
    /// connected at its end are aborted. 1 ms to 1 h.
    pub drain_timeout: Duration,
}

impl Config {
    /// Descriptors that aren't available to clients, unless this is more than a quarter of the limit: standard streams,
    /// epoll, listeners, the service manager, and the extra connections that are served beyond `max_connections`.
    pub const RESERVED_DESCRIPTORS: usize = 100;

    /// The defaults, for a process that may open `descriptors` descriptors: it listens on 127.0.0.1:8080, and requires
    /// no credentials.
    pub fn new(descriptors: usize) -> Self {
        Config {
            listen: vec![ListenAddr::Tcp(([127, 0, 0, 1], 8080).into())],
            listen_reuse_port: false,
            log_level: LevelFilter::Info,
            handshake: HandshakeConfig {
                timeout: Duration::from_secs(5),
                allowed_origins: Vec::new(),
                max_in_progress: 0,
                max_per_second: 0,
                max_header_bytes: 16 * 1024,
                idle_timeout: Duration::from_secs(60),
                refuse_in_band: false,
            },
            proxy: ProxyConfig {
                trusted: PeerSet::default(),
                header: ForwardingHeader::XForwardedFor,
                protocol: false,
            },
            per_address: PerAddressLimits {
                max_connections: 64,
                max_connects_per_second: 10,
                max_failures_per_minute: 10,
                exempt: PeerSet::default(),
            },
            heartbeat: HeartbeatConfig { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) },
            limits: Limits {
                max_connections: Self::max_connections_for(descriptors),
                max_message_bytes: 1024 * 1024,
                max_batch_requests: 100,
                max_subscriptions: 100,
                closed_connections: 1000,
                outbox_max_bytes: 4 * 1024 * 1024,
                max_memory_for_clients: MemoryLimit::Percent(50),
                max_messages_per_second: 0,
                max_bytes_per_second: 0,
                rate_burst: Duration::from_secs(5),
                rate_timeout: Duration::from_secs(30),
                write_timeout: Duration::from_secs(10),
                max_lifetime: Duration::ZERO,
                close_timeout: Duration::from_secs(2),
            },
            auth: Authenticator::none(),
            allow_insecure: false,
            presence: PresencePolicies(vec![
                (Role::Operator, PresencePolicy::Allow),
                (Role::Node, PresencePolicy::Replace),
            ]),
            calls: CallLimits { timeout: Duration::from_secs(30), max_per_caller: 1000, max_per_node: 1000 },
            ops: AdminConfig { listen: Vec::new() },
            shutdown: ShutdownConfig { drain_timeout: Duration::from_secs(20) },
            warnings: Vec::new(),
        }
    }

    /// The number of connections that a limit of `descriptors` open files allows; at least 1.
    pub fn max_connections_for(descriptors: usize) -> usize {
        descriptors.saturating_sub(Self::reserved_of(descriptors)).max(1)
    }

    /// The most connections whose first request hasn't arrived.
    pub fn max_in_progress(&self) -> usize {
        match self.handshake.max_in_progress {
            0 => (self.limits.max_connections / 4).max(1),
            max => max,
        }
    }

    /// The number of descriptors, of a limit, that aren't available to clients.
    pub(crate) fn reserved_of(descriptors: usize) -> usize {
        Self::RESERVED_DESCRIPTORS.min(descriptors / 4)
    }

    /// Returns a message if other machines can reach an address although no credentials are required and
    /// `allow_insecure` isn't set.
    pub fn exposure_error(&self) -> Option<String> {
        self.exposure_error_of("listen", &self.listen)
            .or_else(|| self.exposure_error_of("ops.listen", &self.ops.listen))
    }

    fn exposure_error_of(&self, setting: &str, addrs: &[ListenAddr]) -> Option<String> {
        if !self.auth.allows_anonymous() || self.allow_insecure {
            return None;
        }
        let addr = addrs.iter().find(|addr| !addr.is_local())?;
        Some(format!(
            "{setting} \"{addr}\" can be reached from other machines and needs credentials: set auth.mode = \"token\" \
             and create them with: aisopod-gateway token --name NAME --role ROLE; allowed without credentials: \
             127.0.0.1, [::1], unix: paths; or set auth.allow_insecure = true"
        ))
    }
}
