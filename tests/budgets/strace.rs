//! System calls of the measured server, from the log of strace.
//!
//! Calls that serve the measurement are left out: those of the thread that answers the tests, and those caused by the
//! heartbeat's timer, which depend on time alone.

use crate::common::tools::{require, skip};
use crate::serve::Snapshot;
use crate::server::Server;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub struct TracedServer {
    pub server: Server,
    dir: TempDir,
}

/// The complete log of a server that has exited.
pub struct Trace {
    lines: Vec<String>,
}

/// System calls between two snapshots.
#[derive(Debug, Default)]
pub struct SystemCalls {
    /// Calls that write to a socket.
    pub sends: usize,
    /// Calls that read from a socket.
    pub receives: usize,
    /// Waits for events that returned an event of a socket.
    pub waits: usize,
    /// All other calls, with their arguments.
    pub others: Vec<String>,
}

impl TracedServer {
    /// Starts a server, if strace is installed and allowed to trace.
    pub fn start(heartbeat: Option<Duration>) -> Option<TracedServer> {
        let strace = require("strace")?;
        let trial = Command::new(&strace).args(["-f", "-o", "/dev/null", "true"]).stderr(Stdio::piped()).output();
        let trial = trial.expect("strace starts");
        if !trial.status.success() {
            return skip(&format!("strace may not trace: {}", String::from_utf8_lossy(&trial.stderr).trim()));
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(strace);
        // -y prints the kind of each descriptor.
        command.args(["-f", "-y", "-o"]).arg(dir.path().join("log"));
        Some(TracedServer { server: Server::start_under(command, heartbeat), dir })
    }

    /// Stops the server and reads the log.
    pub fn stop(self) -> Trace {
        self.server.stop();
        let log = fs::read_to_string(self.dir.path().join("log")).expect("strace writes its log");
        Trace { lines: log.lines().map(str::to_owned).collect() }
    }
}

impl Trace {
    /// The system calls between two snapshots.
    pub fn between(&self, from: &Snapshot, to: &Snapshot) -> SystemCalls {
        let (from, to) = (self.line_of(from), self.line_of(to));
        let (measuring, _) = split(&self.lines[to]);
        let mut calls = SystemCalls::default();
        for line in &self.lines[from..to] {
            let (thread, call) = split(line);
            if thread != measuring {
                calls.add(call);
            }
        }
        calls
    }

    /// The index of the line that writes this snapshot.
    fn line_of(&self, snapshot: &Snapshot) -> usize {
        let start = format!("\"{{\\\"number\\\":{},", snapshot.number);
        let is_it = |line: &String| split(line).1.starts_with("write(1<") && line.contains(&start);
        self.lines.iter().position(is_it).expect("the log has each snapshot")
    }
}

impl SystemCalls {
    /// Counts most calls where they start, but a wait where it returns, since its result decides.
    fn add(&mut self, call: &str) {
        let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
        let is_socket = arguments.split(',').next().is_some_and(|first| first.contains("<socket:"));
        match name {
            _ if call.contains("epoll_wait") || call.contains("epoll_pwait") => {
                // 0 is the worker's own waker.
                self.waits += usize::from(call.matches("u64=").count() > call.matches("u64=0}").count());
            }
            _ if call.starts_with("<...") => {}
            "send" | "sendto" | "sendmsg" | "sendmmsg" => self.sends += 1,
            "write" | "writev" if is_socket => self.sends += 1,
            "recv" | "recvfrom" | "recvmsg" | "recvmmsg" => self.receives += 1,
            "read" | "readv" if is_socket => self.receives += 1,
            "write" if arguments.contains("<anon_inode:[eventfd]>") => {}
            _ => self.others.push(call.to_owned()),
        }
    }
}

/// The thread and the call of a line.
fn split(line: &str) -> (&str, &str) {
    let (thread, call) = line.split_once(' ').expect("a thread ID ahead of each call");
    (thread, call.trim_start())
}
