//! The servers that are compared, each started for one measurement in a process of its own.

use crate::gateway::{Gateway, NO_PINGS, PINGS, TOKEN};
use crate::pinned::on_server_core;
use crate::process::Process;
use crate::programs::{Programs, peers_sources};
use crate::tools;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who serves. What each of the others stands for is said at the top of its source, in `tests/peers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What all others are compared with.
    Gateway,
    Predecessor,
    Tuned,
    Fast,
    Floor,
    Sends,
    Channel,
    Node,
    Python,
}

/// What the messages are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// JSON-RPC, which is all that the daemon itself does.
    Rpc,
    /// Any text, echoed: the gateway is its library then.
    Raw,
}

impl Kind {
    /// All that serve; the bare system calls only send, and the channel has events only.
    pub const ALL: [Kind; 7] =
        [Kind::Gateway, Kind::Predecessor, Kind::Tuned, Kind::Fast, Kind::Floor, Kind::Node, Kind::Python];

    /// As it is called in the report.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::Predecessor => "predecessor",
            Kind::Tuned => "predecessor, tuned",
            Kind::Fast => "fastwebsockets",
            Kind::Floor => "floor",
            Kind::Sends => "send calls alone",
            Kind::Channel => "broadcast channel",
            Kind::Node => "Node, ws",
            Kind::Python => "Python, websockets",
        }
    }

    /// Whether it is interpreted, and given fewer connections.
    pub fn is_script(self) -> bool {
        matches!(self, Kind::Node | Kind::Python)
    }

    /// Whether all that it needs is here; says so if it isn't.
    pub fn is_installed(self) -> bool {
        let needs: &[&str] = match self {
            Kind::Node => &["node", "ws"],
            Kind::Python => &["python3", "websockets"],
            _ => &[],
        };
        needs.iter().all(|tool| tools::require(tool).is_some())
    }

    fn command(self, programs: &Programs, speaks: Speaks) -> Command {
        let mut command = match self {
            Kind::Gateway => on_server_core(&programs.echo),
            Kind::Predecessor | Kind::Tuned => on_server_core(programs.peer("predecessor")),
            Kind::Fast => on_server_core(programs.peer("fast")),
            Kind::Floor | Kind::Sends => on_server_core(programs.peer("floor")),
            Kind::Channel => on_server_core(programs.peer("channel")),
            Kind::Node => on_server_core("node"),
            Kind::Python => on_server_core("python3"),
        };
        match self {
            Kind::Gateway => command.args(["--token", TOKEN]),
            Kind::Tuned => command.arg("--tuned"),
            Kind::Sends => command.arg("--deaf"),
            Kind::Node => command.arg(peers_sources().join("node.mjs")).env("NODE_PATH", tools::node_packages()),
            Kind::Python => command.arg(peers_sources().join("python.py")).env("PYTHONPATH", tools::python_packages()),
            Kind::Predecessor | Kind::Fast | Kind::Floor | Kind::Channel => &mut command,
        };
        if speaks == Speaks::Rpc {
            command.arg("--json");
        }
        command
    }
}

/// A running server; it ends when dropped.
pub struct Server {
    running: Running,
    /// Where it listens.
    pub addr: SocketAddr,
}

enum Running {
    Daemon(Gateway),
    Other(Process),
}

impl Server {
    /// Starts one, which pings its clients every three seconds or practically never.
    ///
    /// # Errors
    /// What it did instead of listening.
    pub fn start(kind: Kind, programs: &Programs, speaks: Speaks, pings: bool) -> Result<Server, String> {
        if kind == Kind::Gateway && speaks == Speaks::Rpc {
            let gateway = Gateway::start(if pings { PINGS } else { NO_PINGS });
            return Ok(Server { addr: gateway.addr(), running: Running::Daemon(gateway) });
        }
        let mut command = kind.command(programs, speaks);
        if pings {
            command.args(["--ping-interval", "3"]);
        }
        command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let process = Process::start(&mut command);
        let addr = listening(&process).ok_or_else(|| format!("{} does not listen: {command:?}", kind.name()))?;
        Ok(Server { addr, running: Running::Other(process) })
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        match &self.running {
            Running::Daemon(gateway) => gateway.process(),
            Running::Other(process) => process,
        }
    }
}

/// Where it says that it listens.
fn listening(process: &Process) -> Option<SocketAddr> {
    let stdout = process.with(|child| child.stdout.take())?;
    let (tell, told) = mpsc::channel();
    // Reading has no deadline; the thread ends with the child at the latest.
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        // Nobody listens any more when it took too long.
        let _ = tell.send(read.map(|_| line));
    });
    let line = told.recv_timeout(PATIENCE).ok()?.ok()?;
    line.strip_prefix("listening ")?.trim().parse().ok()
}
