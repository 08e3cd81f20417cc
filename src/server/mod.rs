//! From an accepted socket to a session, and the end of all of them.

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
