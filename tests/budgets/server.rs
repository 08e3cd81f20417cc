//! The counted process as the tests see it.

use crate::common::process::Process;
use crate::common::{TIMEOUT, wait_until};
use crate::serve::{LISTENING, Speaks, Stock, command};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// A running counted process. Killed when dropped.
pub struct Server {
    process: Process,
    pub addr: SocketAddr,
}

impl Server {
    /// Starts one that sends no pings.
    pub fn start() -> Server {
        Self::start_under(None, None)
    }

    /// The same that answers JSON-RPC.
    pub fn start_rpc() -> Server {
        Self::start_as(None, None, Speaks::Rpc)
    }

    /// Starts one, if need be under a command that runs what is added to it. Without a heartbeat it sends no pings.
    pub fn start_under(under: Option<Command>, heartbeat: Option<Duration>) -> Server {
        Self::start_as(under, heartbeat, Speaks::RawClient)
    }

    fn start_as(under: Option<Command>, heartbeat: Option<Duration>, speaks: Speaks) -> Server {
        if cfg!(debug_assertions) {
            panic!("the bounds are for the release profile: make test-counts");
        }
        let process = Process::start(&mut command(under, heartbeat, speaks));
        // The test runner has its say before.
        let addr = loop {
            if let Some(addr) = process.read_line().strip_prefix(LISTENING) {
                break addr.parse().expect("an address");
            }
        };
        Server { process, addr }
    }

    /// What is there now, and was done so far.
    pub fn stock(&mut self) -> Stock {
        self.process.write_line("count");
        let line = self.process.read_line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The same as soon as a number in its status is this.
    pub fn stock_when(&mut self, pointer: &str, number: usize) -> Stock {
        wait_until(&format!("{pointer} is {number}"), || {
            self.stock().status.pointer(pointer).expect("a key of the status") == number
        });
        // The status is younger than the rest of its stock.
        self.stock()
    }

    /// Lets it end by itself.
    pub fn end(mut self) {
        drop(self.process.take_stdin());
        let status = self.process.wait();
        assert!(status.success(), "{status} within {TIMEOUT:?}: {:#?}", self.process.stderr());
    }
}
