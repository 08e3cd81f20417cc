//! A WebSocket gateway: it accepts the connections of *operators* (people, scripts, web pages) and *nodes* (devices,
//! agents, servers), tracks which are connected, pings them, and routes JSON-RPC 2.0 messages between them.
//!
//! The daemon is a thin `main` over this library. Other programs can embed a [`Gateway`]: it binds no address, handles
//! no signal and sets up no logging by itself.
//!
//! ```no_run
//! use aisopod_gateway::{Gateway, Listener, Shutdown, config::Config};
//!
//! # async fn example() -> std::io::Result<()> {
//! let config = Config::new(1024);
//! let listeners = config.listen.iter().map(|addr| Listener::bind(addr, false)).collect::<Result<_, _>>()?;
//! let (stop, shutdown) = tokio::sync::watch::channel(Shutdown::No);
//! let gateway = Gateway::new(config);
//! println!("{:?}", gateway.run(listeners, shutdown).await);
//! # drop(stop);
//! # Ok(())
//! # }
//! ```
//!
//! The modules by layer; outside of tests, each imports only from its own row and the rows below:
//!
//! | module | subject |
//! | --- | --- |
//! | `daemon`, `check`, `cli`, `signals`, `systemd` | the program: flags, `--check`, logging, listeners, signals, service manager |
//! | `gateway` | [`Gateway`]: built from a configuration, runs until shutdown |
//! | `server` | from an accepted socket to a session; `server::admin` is the admin API over HTTP |
//! | `rpc` | JSON-RPC 2.0: protocol, methods, events, queries, calls to nodes |
//! | `http` | the opening handshake, credentials, origins, errors, the limit on failed authentications |
//! | `session` | one client's read loop and close handshake |
//! | `heartbeat` | pings and pong deadlines: one task, one timer wheel |
//! | `registry` | all clients by ID and presence key, and the most recently closed connections |
//! | `client` | the handle of one client: outbox, close reason, health |
//! | `ws` | RFC 6455 on a socket |
//! | `config` | the settings, their defaults, the configuration file |
//! | `auth` | checking credentials; names, roles and scopes |
//! | `budget`, `clock`, `labels`, `logging`, `memory`, `metrics`, `runtime` | shared utilities |

pub mod auth;
mod budget;
mod check;
mod cli;
mod client;
mod clock;
pub mod config;
#[doc(hidden)]
pub mod daemon;
mod gateway;
mod heartbeat;
mod http;
mod labels;
mod logging;
mod memory;
mod metrics;
mod network;
mod recent_hosts;
mod registry;
mod rpc;
mod runtime;
mod server;
mod session;
mod signals;
mod systemd;
mod ws;

pub use client::{CloseReason, CloseRecord, ConnId, GatewayClient, Handler, Message, SendError};
pub use gateway::Gateway;
pub use registry::{ClientRegistry, HealthSnapshot};
pub use runtime::BoxFuture;
pub use server::drain::{DrainReport, Shutdown};
pub use server::listener::Listener;
pub use server::liveness::Unresponsive;
pub use server::reload::Reload;

/// Internals for this repository's own tests and fuzz targets; not a stable API.
#[doc(hidden)]
pub mod internals {
    pub use crate::cli::{COMMANDS, CommandLine, Flag, Value};
    pub use crate::client::{Outbox, OutboxContext, RemoteAddr, SessionStats};
    pub use crate::config::{LiveConfig, read_text};
    pub use crate::heartbeat::{Heartbeat, Key, TimerWheel};
    pub use crate::http::forwarded::client_addr;
    pub use crate::registry::Presence;
    pub use crate::rpc::method::Method;
    pub use crate::rpc::method::scope::ALL as SCOPES;
    pub use crate::rpc::methods::METHODS;
    pub use crate::rpc::router::Router;
    pub use crate::server::proxy_protocol;
    pub use crate::session::Session;

    use crate::config::Config;
    use crate::http::credentials::RequestCredentials;
    use crate::http::error::HttpError;
    use crate::http::{handshake, host};
    use hyper::http::request::Parts;
    use std::sync::Arc;

    /// The response to a handshake: a 101, or an error, and the one that refuses it in band.
    pub fn answer_handshake(request: &Parts, config: &Config, presence: &Arc<Presence>) -> (String, Option<Vec<u8>>) {
        let authenticate = || {
            let credentials = RequestCredentials::from_headers(&request.headers)?;
            let info = config.auth.authenticate(&credentials.as_credentials());
            info.ok_or_else(|| HttpError::unauthorized(config.auth.scheme()))
        };
        let accepted = handshake::check_query(request)
            .and_then(|()| host::host_of(request))
            .and_then(|host| handshake::accept(request, host, config, presence, authenticate));
        match accepted {
            Ok(accepted) => (accepted.response, None),
            Err(error) => (error.to_http_text(), handshake::refuse_in_band(request, &error)),
        }
    }
}
