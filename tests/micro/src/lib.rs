//! What the micro-benchmarks share: the gateway's parts, each beside what could have stood in its place.
//!
//! The registry is the library's own; wheel, outbox and envelope are private there: their files are included by path.

#![forbid(unsafe_code)]

pub mod maps;
pub mod queues;
pub mod rpc;
pub mod timers;

// Without their tests, parts of them are not used here.
#[allow(dead_code)]
#[path = "../../../src/client/outbox.rs"]
mod outbox;
#[allow(dead_code)]
#[path = "../../../src/heartbeat/wheel.rs"]
mod wheel;
