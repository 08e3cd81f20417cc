//! Accepts connections, serves HTTP, upgrades to sessions, and drains them at shutdown.

pub mod accept;
pub mod admin;
pub mod admission;
pub mod connection;
pub mod drain;
pub mod handshake_stats;
pub mod http_state;
pub mod lifecycle;
pub mod listener;
pub mod process;
pub mod service;
pub mod state;
pub mod status;
