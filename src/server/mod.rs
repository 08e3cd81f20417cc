//! Accepts connections, serves HTTP, upgrades connections to sessions, and closes the sessions at shutdown.

pub mod accept;
pub mod address_limits;
pub mod admin;
pub mod admission;
pub mod available_memory;
pub mod client_addr;
pub mod connection;
pub mod drain;
pub mod handshake_stats;
pub mod http_connection;
pub mod http_io;
pub mod http_state;
pub mod lifecycle;
pub mod listener;
pub mod memory_guard;
pub mod opening;
pub mod pending;
pub mod process;
pub mod proxy_protocol;
pub mod refusal_log;
pub mod reload;
pub mod service;
pub mod state;
pub mod status;
