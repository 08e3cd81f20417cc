//! Tests of the real binary over real sockets.

#[path = "../common/mod.rs"]
mod common;

mod browser;
mod calls;
mod clients;
mod config;
mod credentials;
mod docs;
mod embedded;
mod events;
mod foreign;
mod frames;
mod handshake;
mod lifecycle;
mod many_calls;
mod operators;
mod operators_connections;
mod plain;
mod ports;
mod raw;
mod secrets;
mod shutdown;
mod systemd;
mod timeouts;
mod trouble;
mod websocat;
