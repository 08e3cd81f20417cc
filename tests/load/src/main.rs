//! Loads a WebSocket server on this machine, and tells what that cost the server.
//!
//! One thread, raw epoll, frames built beforehand, nothing allocated for a message: the server is to be the bottleneck.
//!
//! - `args`: the command line
//! - `modes`: what is done to the server, one file for each way
//! - `crowd`, `connection`, `peer`: all connections; what comes on one, and sending on it
//! - `handshake`, `frame`, `messages`: bytes that come and go
//! - `socket`: system calls
//! - `span`, `process`, `watchers`: what the server uses meanwhile
//! - `histogram`, `losses`, `patience`, `json`, `failure`: counting, giving up, reporting

mod args;
mod connection;
mod crowd;
mod failure;
mod frame;
mod handshake;
mod histogram;
mod json;
mod losses;
mod messages;
mod modes;
mod patience;
mod peer;
mod process;
mod socket;
mod span;
mod watchers;

use failure::Failure;
use rustix::process::{Resource, getrlimit};
use std::io::Write;
use std::process::ExitCode;

/// Descriptors beside those of connections: standard streams, epoll, pipes to programs that watch, files under /proc.
const OTHER_DESCRIPTORS: u64 = 32;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            failure.exit_code().into()
        }
    }
}

fn run() -> Result<(), Failure> {
    let Some(options) = args::parse(lexopt::Parser::from_env())? else { return print(args::HELP) };
    check_descriptors(options.connections as u64)?;
    let json = modes::run(&options)?;
    print(&format!("{json}\n"))
}

fn check_descriptors(connections: u64) -> Result<(), Failure> {
    let needed = connections + OTHER_DESCRIPTORS;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Err(Failure::Usage(format!(
            "{connections} connections need {needed} descriptors, and only {limit} are allowed: ulimit -n {needed}"
        ))),
        _ => Ok(()),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::doing("standard output", error))
}
