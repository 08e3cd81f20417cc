//! Tests of the real binary over real sockets.

#[path = "../common/mod.rs"]
mod common;

mod embedded;
mod frames;
mod lifecycle;
mod shutdown;
mod trouble;
