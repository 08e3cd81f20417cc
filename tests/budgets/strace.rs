//! System calls of the counted process, from the log of strace.
//!
//! What the process does for the counting is left out: calls of the thread that answers the tests, and what the
//! heartbeat's timer makes the worker do, which depends on time alone.

use crate::common::tools::{require, skip};
use crate::serve::Stock;
use crate::server::Server;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A counted process under strace.
pub struct Traced {
    pub server: Server,
    dir: TempDir,
}

/// The whole log of one that has ended.
pub struct Trace {
    lines: Vec<String>,
}

/// Calls between two stocks.
#[derive(Debug, Default)]
pub struct Calls {
    /// That give a socket something.
    pub sends: usize,
    /// That ask a socket for something.
    pub receives: usize,
    /// Waits for events that brought one of a socket.
    pub waits: usize,
    /// All others, with their arguments.
    pub others: Vec<String>,
}

impl Traced {
    /// Starts one, if there is a strace that is allowed to trace.
    pub fn start(heartbeat: Option<Duration>) -> Option<Traced> {
        let strace = require("strace")?;
        let trial = Command::new(&strace).args(["-f", "-o", "/dev/null", "true"]).stderr(Stdio::piped()).output();
        let trial = trial.expect("strace starts");
        if !trial.status.success() {
            return skip(&format!("strace may not trace: {}", String::from_utf8_lossy(&trial.stderr).trim()));
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(strace);
        // -y: with what each descriptor is.
        command.args(["-f", "-y", "-o"]).arg(dir.path().join("log"));
        Some(Traced { server: Server::start_under(Some(command), heartbeat), dir })
    }

    /// Lets it end, for all that it did.
    pub fn end(self) -> Trace {
        self.server.end();
        let log = fs::read_to_string(self.dir.path().join("log")).expect("strace writes its log");
        Trace { lines: log.lines().map(str::to_owned).collect() }
    }
}

impl Trace {
    /// What was called from one stock to another.
    pub fn between(&self, from: &Stock, to: &Stock) -> Calls {
        let (from, to) = (self.answer_of(from), self.answer_of(to));
        let (counting, _) = split(&self.lines[to]);
        let mut calls = Calls::default();
        for line in &self.lines[from..to] {
            let (thread, call) = split(line);
            if thread != counting {
                calls.add(call);
            }
        }
        calls
    }

    /// The line in which the process says this stock.
    fn answer_of(&self, stock: &Stock) -> usize {
        let start = format!("\"{{\\\"number\\\":{},", stock.number);
        let is_it = |line: &String| split(line).1.starts_with("write(1<") && line.contains(&start);
        self.lines.iter().position(is_it).expect("the log has each answer")
    }
}

impl Calls {
    /// A call counts where it begins, a wait where it ends.
    fn add(&mut self, call: &str) {
        let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
        let is_socket = arguments.split(',').next().is_some_and(|first| first.contains("<socket:"));
        match name {
            _ if call.contains("epoll_wait") || call.contains("epoll_pwait") => {
                // The worker's own waker has number 0.
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

/// A line's thread and call.
fn split(line: &str) -> (&str, &str) {
    let (thread, call) = line.split_once(' ').expect("a thread before each call");
    (thread, call.trim_start())
}

#[test]
fn calls_are_told_apart() {
    let mut calls = Calls::default();
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
