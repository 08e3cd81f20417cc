//! What operators and their monitoring see: `/status`.
//!
//! Reads counters that others own; changes nothing.

mod handshakes;
mod process;
mod status;

pub use handshakes::{Handshakes, InProgress, Step};
pub use process::{ProcessProbe, descriptor_limit};
pub use status::{Sources, report};
