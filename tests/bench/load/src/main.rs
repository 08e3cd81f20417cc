//! Loads a WebSocket server on this machine, and reports what that cost the server.
//!
//! One thread, raw epoll, frames built in advance, no work for a message beyond its check: the server is the bottleneck.
//!
//! - `options`: the command line
//! - `modes`: what is done to the server, one file for each mode
//! - `connections`, `connection`, `peer`: all connections; receiving on one; sending on one
//! - `dialect`, `payload`: what is published and echoed, and the check of what arrives
//! - `handshake`: the opening handshake; frames are in the support crate
//! - `socket`: system calls
//! - `span`, `process`: what the server used meanwhile
//! - `latencies`, `losses`, `failure`: counting and reporting

mod connection;
mod connections;
mod dialect;
mod failure;
mod handshake;
mod latencies;
mod losses;
mod modes;
mod options;
mod payload;
mod peer;
mod process;
mod socket;
mod span;

use failure::Failure;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let Some(options) = options::parse(lexopt::Parser::from_env())? else { return print(options::HELP) };
    let report = modes::run(&options)?;
    print(&format!("{report}\n"))
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::of("standard output", error))
}
