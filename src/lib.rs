//! A WebSocket gateway: it holds the connections of *operators* (people, command lines, web pages) and *nodes* (devices,
//! agents, servers), knows who is there, keeps them alive, and carries JSON-RPC 2.0.
//!
//! The daemon is a thin `main` over this library; tests and programs of your own can run a [`Gateway`] too. It binds
//! nothing, handles no signal and sets up no log by itself:
//!
//! ```no_run
//! use aisopod_gateway::{Config, Gateway, Listener, Shutdown};
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
//! The map, from the top; imports point down, never up:
//!
//! | module | owns |
//! | --- | --- |
//! | `net` | from a TCP connection to an upgraded stream; the gateway that ties all together |
//! | `ops` | `/status`, and which requests of operators call which methods |
//! | `rpc` | JSON-RPC 2.0: envelope, methods, events, calls to nodes |
//! | `heartbeat` | pings and their deadlines: one task, one timer wheel |
//! | `systemd` | what the service manager is told |
//! | `client` | one connection (session, outbox, close reason), and all of them (registry, presence) |
//! | `config` | every setting, its default, the file |
//! | `auth` | credentials to names, roles and scopes |
//! | `runtime`, `logging`, `counters`, `clock` | turns on the workers, standard error, atomics, points in time |

mod auth;
mod client;
mod clock;
mod config;
mod counters;
mod heartbeat;
pub mod logging;
mod net;
mod ops;
mod rpc;
mod runtime;
pub mod systemd;

pub use auth::{AuthInfo, Authenticator, Credential, Presented, Role, SecretDigest, new_token};
/// For fuzzing.
#[doc(hidden)]
pub use client::Presence;
/// For its size, which is most of what a connection costs.
#[doc(hidden)]
pub use client::Session;
pub use client::{
    Bounds, ClientRegistry, CloseReason, Closed, ConnId, GatewayClient, Handler, Health, HealthSnapshot, Registration,
    RemoteAddr, Rest, SendError, Sender, SenderContext, SenderState, Side, Stats, Utf8Bytes, broadcast, turn_is_over,
};
pub use clock::Moment;
pub use config::{
    Config, ConfigError, LISTEN_FORMS, ListenAddr, NAME_FORMS, Problem, SCOPE_FORMS, is_name, is_scope,
    load as load_config, parse_level, parse_listen,
};
/// For a measure of a million clients.
#[doc(hidden)]
pub use heartbeat::{Heartbeat, Watch};
pub use net::{Drained, Gateway, Listener, Shutdown};
pub use ops::descriptor_limit;
/// For fuzzing.
#[doc(hidden)]
pub use rpc::Router;
pub use rpc::SCOPES;
pub use runtime::runtime;
