//! The modes: each is a `Handler` with the loop around it, and returns its report as JSON.

mod echo;
mod fanout;
mod handshake;
mod hold;

use crate::failure::Failure;
use crate::options::{Mode, Options};
use serde_json::Value;

/// Runs the mode of these options.
pub fn run(options: &Options) -> Result<Value, Failure> {
    match options.mode {
        Mode::Hold => hold::run(options),
        Mode::Echo => echo::run(options),
        Mode::Fanout => fanout::run(options),
        Mode::Handshake => handshake::run(options),
    }
}
