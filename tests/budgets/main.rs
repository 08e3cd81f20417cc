//! What a connection and a message cost, counted and not timed: bytes, allocations, system calls, instructions. Each
//! count has a bound close above what it was, so that a change that costs more fails here, on a busy machine too.
//!
//! The gateway that is counted is a process of its own, this very program in another role ([`serve`]); its clients are in
//! the tests' process. `make test-counts` runs them as they are meant: with the release profile, which the bounds are
//! for, and room for enough descriptors.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod common;

mod bound;
mod callgrind;
mod clients;
mod serve;
mod server;
mod strace;

mod calls;
mod instructions;
mod memory;
mod rpc;
mod sizes;
