//! From a TCP or Unix connection to an upgraded stream, and the gateway that ties the parts together.

mod accept;
mod admission;
mod answer;
mod connection;
mod door;
mod drain;
mod exchange;
mod failures;
mod gateway;
mod headers;
mod listener;
mod operators;
mod origin;
mod phase;
mod proof;
mod server;
mod service;
mod upgrade;

pub use drain::Drained;
pub use gateway::{Gateway, Shutdown};
pub use listener::Listener;
