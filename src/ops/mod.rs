//! What operators and their monitoring see: `/status`, and which requests call which methods.
//!
//! Reads counters that others own; changes nothing.

mod handshakes;
mod process;
mod routes;
mod status;

pub use handshakes::{Handshakes, InProgress, Step};
pub use process::{ProcessProbe, descriptor_limit};
pub use routes::{NoRoute, Route, route};
pub use status::{OperatorRequests, Sources, report};
