//! The servers that are compared, each started for one measurement in a process of its own.

use crate::affinity::on_server_core;
use crate::gateway::{Gateway, NO_PINGS, PINGS, TOKEN};
use crate::process::Process;
use crate::programs::Programs;
use crate::third_party::{self, PUBLISH_PATH, Started};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a server may take to start.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server. The source of each baseline, in `tests/bench/baselines`, says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The daemon, or its library with a handler that echoes.
    Gateway,
    Predecessor,
    Fast,
    Floor,
    Channel,
    Nats,
    Nchan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// JSON-RPC, as the daemon implements it.
    Rpc,
    /// Texts that are echoed or broadcast. The gateway is then its library with a small handler.
    Echo,
}

impl Kind {
    pub const ALL: [Kind; 7] =
        [Kind::Gateway, Kind::Predecessor, Kind::Fast, Kind::Floor, Kind::Channel, Kind::Nats, Kind::Nchan];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Gateway => "gateway",
            Kind::Predecessor => "predecessor (axum)",
            Kind::Fast => "fastwebsockets",
            Kind::Floor => "floor (bare tokio)",
            Kind::Channel => "broadcast channel (axum)",
            Kind::Nats => "nats-server",
            Kind::Nchan => "nginx with nchan",
        }
    }

    /// Whether the server is built by this benchmark, or installed.
    pub fn is_available(self) -> bool {
        match self {
            Kind::Nats => third_party::nats_server().is_some(),
            Kind::Nchan => third_party::nginx_with_nchan().is_some(),
            _ => true,
        }
    }
}

/// A running server; it is killed when dropped.
pub struct Server {
    kind: Kind,
    protocol: Protocol,
    running: Running,
    /// The address of its WebSocket.
    pub addr: SocketAddr,
}

enum Running {
    Daemon(Gateway),
    Program(Process),
    ThirdParty(Started),
}

impl Server {
    /// Starts a server that pings its clients every three seconds, or not at all.
    pub fn start(kind: Kind, programs: &Programs, protocol: Protocol, pings: bool) -> Result<Server, String> {
        let third_party = |started: Started| {
            let addr = started.addr;
            Server { kind, protocol, running: Running::ThirdParty(started), addr }
        };
        let mut command = match (kind, protocol) {
            (Kind::Gateway, Protocol::Rpc) => {
                let gateway = Gateway::start(if pings { PINGS } else { NO_PINGS });
                return Ok(Server { kind, protocol, addr: gateway.addr(), running: Running::Daemon(gateway) });
            }
            (Kind::Nats, _) => return third_party::start_nats().map(third_party),
            (Kind::Nchan, _) => return third_party::start_nginx().map(third_party),
            (Kind::Gateway, Protocol::Echo) => {
                let mut command = on_server_core(&programs.echo);
                command.args(["--token", TOKEN]);
                command
            }
            (Kind::Predecessor, _) => on_server_core(programs.baseline("predecessor")),
            (Kind::Fast, _) => on_server_core(programs.baseline("fast")),
            (Kind::Floor, _) => on_server_core(programs.baseline("floor")),
            (Kind::Channel, _) => on_server_core(programs.baseline("channel")),
        };
        if pings {
            command.args(["--ping-interval", "3"]);
        }
        command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let process = Process::start(&mut command);
        let addr = read_addr(&process).ok_or_else(|| format!("{} isn't listening: {command:?}", kind.name()))?;
        Ok(Server { kind, protocol, running: Running::Program(process), addr })
    }

    pub fn process(&self) -> &Process {
        match &self.running {
            Running::Daemon(gateway) => gateway.process(),
            Running::Program(process) => process,
            Running::ThirdParty(started) => &started.process,
        }
    }

    /// Options that make the load generator speak the server's dialect.
    pub fn dialect(&self, publishes: bool) -> String {
        let dialect = match (self.kind, self.protocol) {
            (Kind::Nats, _) => "nats --path /",
            (Kind::Nchan, _) if publishes => return format!("--dialect nchan --publish-path {PUBLISH_PATH}"),
            (Kind::Nchan, _) => "nchan",
            (_, Protocol::Rpc) => "rpc",
            (_, Protocol::Echo) => "echo",
        };
        format!("--dialect {dialect}")
    }
}

/// The address that a server prints when it listens.
fn read_addr(process: &Process) -> Option<SocketAddr> {
    let stdout = process.take_stdout()?;
    let (sender, receiver) = mpsc::channel();
    // The read has no timeout of its own; the thread ends when the child does.
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        // After the timeout there is no receiver.
        let _ = sender.send(read.map(|_| line));
    });
    let line = receiver.recv_timeout(TIMEOUT).ok()?.ok()?;
    line.strip_prefix("listening ")?.trim().parse().ok()
}
