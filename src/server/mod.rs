//! Accepts connections, serves HTTP, upgrades connections to sessions, and closes the sessions at shutdown.

pub mod accept;
pub mod admin;
pub mod admission;
pub mod connection;
pub mod drain;
pub mod handshake_stats;
pub mod http_io;
pub mod http_state;
pub mod lifecycle;
pub mod listener;
pub mod process;
pub mod refusal_log;
pub mod service;
pub mod state;
pub mod status;
