//! Bounds on what a connection and a message cost: bytes, allocations, system calls, instructions. They are counted, not
//! timed, and each bound is slightly above the recorded count, so a change that costs more fails on a busy machine too.
//!
//! The measured gateway is a process of its own: this test program, started again as a server ([`serve`]). Its clients
//! are in the tests' process. `make test-counts` runs the tests with the release profile, for which the bounds were
//! recorded.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod common;

#[path = "../common/echo_handler.rs"]
mod echo_handler;

mod bound;
mod callgrind;
mod clients;
mod serve;
mod server;
mod strace;

mod instructions;
mod memory;
mod rpc;
mod sizes;
mod system_calls;
