//! A WebSocket gateway: it holds the connections of *operators* (people, command lines, web pages) and *nodes* (devices,
//! agents, servers), knows which clients are connected, keeps them alive, and carries JSON-RPC 2.0 between them.
//!
//! The daemon is a thin `main` over this library. Tests and programs of your own can run a [`Gateway`] too: the library
//! binds no address, handles no signal and sets up no log by itself.
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
//! The modules, from the top; imports point down this table, never up:
//!
//! | module | subject |
//! | --- | --- |
//! | `cli`, `daemon` | the program: flags, log, listeners, signals, service manager |
//! | `gateway` | [`Gateway`]: built from a configuration, runs until shutdown |
//! | `server` | from an accepted socket to a session; `server::admin` is the admin API over HTTP |
//! | `rpc` | JSON-RPC 2.0: protocol, methods, events, queries, calls of nodes |
//! | `http` | requests and responses without a gateway: handshake, credentials, origins, errors |
//! | `session` | one client's read loop; its close |
//! | `heartbeat` | pings and pong deadlines: one task, one timer wheel |
//! | `registry` | all clients: by ID, by presence key, and those that disconnected last |
//! | `client` | one client as others see it: handle, outbox, close reason, health |
//! | `ws` | RFC 6455 on a socket |
//! | `config` | every setting, its default, the file |
//! | `auth` | credentials to names, roles and scopes |
//! | `budget`, `clock`, `labels`, `logging`, `metrics`, `runtime`, `systemd` | tools of the others |

pub mod auth;
mod budget;
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
mod metrics;
mod registry;
mod rpc;
mod runtime;
mod server;
mod session;
mod systemd;
mod ws;

pub use client::{BoxFuture, CloseReason, CloseRecord, ConnId, GatewayClient, Handler, Message, SendError};
pub use gateway::Gateway;
pub use registry::{ClientRegistry, HealthSnapshot, broadcast};
pub use runtime::build_runtime;
pub use server::drain::{DrainReport, Shutdown};
pub use server::listener::Listener;
pub use server::process::descriptor_limit;
pub use tokio_tungstenite::tungstenite::Utf8Bytes;

/// For this repository's benchmarks and fuzz target; it may change at any time.
#[doc(hidden)]
pub mod internals {
    pub use crate::client::{Outbox, OutboxContext, RemoteAddr, SessionStats};
    pub use crate::heartbeat::Heartbeat;
    pub use crate::registry::Presence;
    pub use crate::rpc::router::Router;
    pub use crate::session::Session;
    pub use crate::ws::QueueLimits;
}
