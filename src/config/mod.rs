//! Every setting with its default. Where they come from (file, flags) is in the modules below.
//!
//! Knows credentials, and nothing of the parts that the settings are for.

mod credentials;
mod error;
mod file;
mod secrets;
mod section;
mod value;

pub use error::{ConfigError, Problem};
pub use file::load;
pub use value::{LISTEN_FORMS, NAME_FORMS, SCOPE_FORMS, is_name, is_scope, parse_level, parse_listen};

use crate::auth::Authenticator;
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
    pub handshake: Handshake,
    /// `[heartbeat]`
    pub heartbeat: Heartbeat,
    /// `[limits]`
    pub limits: Limits,
    /// `[auth]`: who is let in.
    pub auth: Authenticator,
    /// `auth.allow_insecure`: listen beyond this machine though anybody is let in.
    pub allow_insecure: bool,
    /// `[shutdown]`
    pub shutdown: Shutdown,
}

/// From the accepted connection to the open WebSocket.
#[derive(Clone, Debug)]
pub struct Handshake {
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
pub struct Heartbeat {
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
    /// Messages waiting for one client.
    pub outbox_max_messages: usize,
    /// Payload bytes waiting for one client.
    pub outbox_max_bytes: usize,
    /// How long a write may make no progress.
    pub write_timeout: Duration,
    /// From our close frame to the end, whatever the peer does.
    pub close_timeout: Duration,
}

/// How the gateway ends.
#[derive(Clone, Debug)]
pub struct Shutdown {
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
            handshake: Handshake {
                timeout: Duration::from_secs(5),
                allowed_origins: Vec::new(),
                max_header_bytes: 16 * 1024,
                idle_timeout: Duration::from_secs(60),
            },
            heartbeat: Heartbeat { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) },
            limits: Limits {
                max_connections: Self::most_connections(descriptors),
                max_message_bytes: 1024 * 1024,
                max_batch_requests: 100,
                outbox_max_messages: 1024,
                outbox_max_bytes: 4 * 1024 * 1024,
                write_timeout: Duration::from_secs(10),
                close_timeout: Duration::from_secs(2),
            },
            auth: Authenticator::none(),
            allow_insecure: false,
            shutdown: Shutdown { drain_timeout: Duration::from_secs(20) },
        }
    }

    /// How many connections a process that may open `descriptors` descriptors can have.
    pub fn most_connections(descriptors: usize) -> usize {
        descriptors.saturating_sub(Self::RESERVED_DESCRIPTORS).clamp(1, MAX_CONNECTIONS)
    }

    /// What is wrong if others than this machine could reach an address although anybody is let in.
    pub fn insecurity(&self) -> Option<String> {
        let exposed = self.auth.is_open() && !self.allow_insecure;
        let addr = self.listen.iter().find(|addr| exposed && !addr.is_local())?;
        Some(format!(
            "listen \"{addr}\" would let anybody in; allowed while auth.mode is \"none\": 127.0.0.1, [::1], unix: paths, \
             or auth.allow_insecure = true"
        ))
    }
}
