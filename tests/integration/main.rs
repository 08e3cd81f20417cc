//! Tests of the real binary over real sockets.

#[path = "../common/mod.rs"]
mod common;

mod frames;
mod lifecycle;
