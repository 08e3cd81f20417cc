//! Processes that connect: this program again, which holds a share of all connections and answers pings.

use crate::crowd::Crowd;
use crate::process::Process;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command, Stdio};

/// Before the arguments of such a process.
pub const ARGUMENT: &str = "--load";

/// What one of them holds.
pub struct Share {
    /// The gateways' address.
    pub addr: SocketAddr,
    /// So many connections.
    pub count: usize,
}

impl Share {
    /// From the arguments behind [`ARGUMENT`].
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Option<Share> {
        Some(Share { addr: arguments.next()?.parse().ok()?, count: arguments.next()?.parse().ok()? })
    }
}

/// Opens the connections, says so, and holds them until standard input ends; then says how many have ended before.
pub fn hold(share: &Share) {
    let crowd = Crowd::connect(share.addr, share.count);
    println!("open");
    // An error is an end, too.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    println!("{}", crowd.ended());
}

/// One such process.
pub struct Load {
    process: Process,
    lines: BufReader<ChildStdout>,
}

impl Load {
    /// Starts it.
    pub fn start(share: &Share) -> Load {
        let program = std::env::current_exe().expect("the program's own path");
        let mut command = Command::new(program);
        command.args([ARGUMENT, &share.addr.to_string(), &share.count.to_string()]);
        let process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdout = process.with(|child| child.stdout.take()).expect("a piped standard output");
        Load { process, lines: BufReader::new(stdout) }
    }

    /// Waits until all its connections are open.
    pub fn wait(&mut self) {
        assert_eq!(self.line(), "open", "it opens its connections");
    }

    /// Ends it, and returns how many connections the gateways had ended before.
    pub fn end(mut self) -> usize {
        drop(self.process.with(|child| child.stdin.take()));
        self.line().parse().expect("a number")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        // Bounded by the end of the whole program.
        self.lines.read_line(&mut line).expect("text");
        line.trim().to_owned()
    }
}
