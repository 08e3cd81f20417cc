//! Tests of the real binary over real sockets. tests/README.md says where a test goes.

#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod admin_api;
mod admin_connections;
mod authentication;
mod clients_api;
mod close_reasons;
mod config;
mod config_credentials;
mod config_listen;
mod docs;
mod drain;
mod embedding;
mod events;
mod frames;
mod handshake;
mod heartbeat;
mod hostile;
mod http;
mod interop;
mod memory;
mod node_calls;
mod pending;
mod presence;
mod rates;
mod reload;
mod resource_failures;
mod reuse_port;
mod systemd;
mod timeouts;
