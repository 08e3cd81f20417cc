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

/// A server under strace.
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
    /// Counts a call at its start and a wait at its end.
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

#[test]
fn calls_are_counted_by_kind() {
    let mut calls = SystemCalls::default();
    for call in [
        r#"sendto(9<socket:[1]>, "x"..., 66, MSG_NOSIGNAL, NULL, 0) = 66"#,
        r#"writev(9<socket:[1]>, [{iov_base="\201", iov_len=10}], 1 <unfinished ...>"#,
        "<... writev resumed>)             = 10",
        r#"recvfrom(9<socket:[1]>, 0x7f, 65536, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)"#,
        r#"write(4<anon_inode:[eventfd]>, "\1\0\0\0\0\0\0\0", 8) = 8"#,
        "epoll_wait(3<anon_inode:[eventpoll]>,  <unfinished ...>",
        "<... epoll_wait resumed>[{events=EPOLLIN, data={u32=0, u64=0}}], 1024, 36) = 1",
        "epoll_wait(3<anon_inode:[eventpoll]>, [], 1024, 3) = 0",
        "epoll_wait(3<anon_inode:[eventpoll]>, [{events=EPOLLIN|EPOLLOUT, data={u32=16, u64=80}}], 1024, 3) = 1",
        "futex(0x7f, FUTEX_WAKE_PRIVATE, 1) = 0",
    ] {
        calls.add(call);
    }
    assert_eq!((calls.sends, calls.receives, calls.waits, calls.others.len()), (2, 1, 1, 1), "{calls:?}");
}
