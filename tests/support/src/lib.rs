//! Code shared by the integration tests, the budgets and the benchmark. It doesn't depend on the gateway and opens no
//! connections.
//!
//! - [`frames`]: WebSocket frames of both sides, written and parsed without a WebSocket library.
//! - [`proc`]: memory, CPU time, threads and descriptors of a process, from `/proc`.
//! - [`raise_descriptor_limit`]: as many open descriptors as this process may have.

pub mod frames;
mod limits;
pub mod proc;

pub use limits::raise_descriptor_limit;
