//! Loads a WebSocket server on this machine, and reports what that cost the server.
//!
//! One thread, raw epoll, frames built in advance, no work for a message beyond its check: the server is the bottleneck.
//!
//! - [`options`]: the command line
//! - [`modes`]: what is done to the server, one file for each mode
//! - [`connections`], [`connection`], [`peer`]: all connections; receiving on one; sending on one
//! - `dialect`, [`payload`]: what is published and echoed, and the check of what arrives
//! - [`handshake`]: the opening handshake; frames are in the support crate
//! - [`socket`]: system calls
//! - `span`, `process`: what the server used meanwhile
//! - `latencies`, [`losses`], [`failure`]: counting and reporting

pub mod connection;
pub mod connections;
mod dialect;
pub mod failure;
pub mod handshake;
mod latencies;
pub mod losses;
pub mod modes;
pub mod options;
pub mod payload;
pub mod peer;
mod process;
pub mod socket;
mod span;
