//! The measured server as the tests see it.

use crate::common::process::Process;
use crate::common::wait_for;
use crate::serve::{LISTENING, Protocol, Snapshot, command};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use test_support::raise_descriptor_limit;

/// A running server. Killed when dropped.
pub struct Server {
    process: Process,
    pub addr: SocketAddr,
}

impl Server {
    /// Starts a server that sends no pings.
    pub fn start(protocol: Protocol) -> Server {
        Self::start_with(None, None, protocol)
    }

    /// Starts an echo server under `wrapper`, such as strace. Without a heartbeat it sends no pings.
    pub fn start_under(wrapper: Command, heartbeat: Option<Duration>) -> Server {
        Self::start_with(Some(wrapper), heartbeat, Protocol::Echo)
    }

    fn start_with(wrapper: Option<Command>, heartbeat: Option<Duration>, protocol: Protocol) -> Server {
        if cfg!(debug_assertions) {
            panic!("the bounds are for the release profile: make test-counts");
        }
        // The server inherits the limit.
        raise_descriptor_limit().expect("the hard limit is always allowed");
        let process = Process::start(&mut command(wrapper, heartbeat, protocol));
        // The test runner prints lines of its own first.
        let addr = loop {
            if let Some(addr) = process.read_line().strip_prefix(LISTENING) {
                break addr.parse().expect("an address");
            }
        };
        Server { process, addr }
    }

    /// The counts so far.
    pub fn snapshot(&mut self) -> Snapshot {
        self.process.write_line("count");
        let line = self.process.read_line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The counts once a number of the status has this value.
    pub fn snapshot_when(&mut self, pointer: &str, number: usize) -> Snapshot {
        wait_for(&format!("{pointer} = {number}"), || {
            let snapshot = self.snapshot();
            (snapshot.status.pointer(pointer).expect("a key of the status") == number).then_some(())
        });
        // A snapshot's status is newer than its other counts.
        self.snapshot()
    }

    /// Closes the standard input, which ends the server.
    pub fn stop(mut self) {
        let status = self.process.wait();
        assert!(status.success(), "{status}: {:#?}", self.process.stderr());
    }
}
