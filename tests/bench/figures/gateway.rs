//! The real gateway with token authentication, in a process and a directory of its own.

use crate::pinned::on_server_core;
use crate::process::Process;
use aisopod_gateway::SecretDigest;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The token that every client shows.
pub const TOKEN: &str = "a-token-for-figures";

/// A node's name, and what it shows.
pub const NODE: &str = "stuck";
/// Its token.
pub const NODE_TOKEN: &str = "a-token-for-a-node";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every client is pinged every three seconds.
pub const PINGS: &str = "interval = \"3s\"\ntimeout = \"3s\"";

/// No ping within any measurement.
pub const NO_PINGS: &str = "interval = \"1h\"\ntimeout = \"1h\"";

/// A running gateway.
pub struct Gateway {
    process: Process,
    addr: SocketAddr,
    /// From before it was started until it said that it is ready.
    pub start_time: Duration,
    dir: tempfile::TempDir,
}

impl Gateway {
    /// The program.
    pub fn binary() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_aisopod-gateway"))
    }

    /// Starts one on the servers' core with these lines under `[heartbeat]`, and waits until it is ready.
    pub fn start(heartbeat: &str) -> Gateway {
        Self::start_by(on_server_core(Self::binary()), heartbeat)
    }

    /// The same on any core.
    pub fn start_anywhere(heartbeat: &str) -> Gateway {
        Self::start_by(Command::new(Self::binary()), heartbeat)
    }

    fn start_by(mut command: Command, heartbeat: &str) -> Gateway {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let addr = free_addr();
        let config = dir.path().join("config.toml");
        fs::write(&config, settings(addr, &unix_path(&dir), heartbeat)).expect("a writable directory");
        let notify_path = dir.path().join("notify.sock");
        let notify = UnixDatagram::bind(&notify_path).expect("a socket for READY=1");
        notify.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        command.arg("--config").arg(&config).env("NOTIFY_SOCKET", &notify_path).stdin(Stdio::null());
        let began = Instant::now();
        let process = Process::start(&mut command);
        wait_for_ready(&notify);
        Gateway { process, addr, start_time: began.elapsed(), dir }
    }

    /// Where it listens over TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `/status`, over the Unix socket.
    pub fn status(&self) -> Value {
        let mut stream = UnixStream::connect(unix_path(&self.dir)).expect("the Unix socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("a listening gateway");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        serde_json::from_str(body).expect("JSON")
    }
}

/// The directory that cargo builds in.
pub fn target_dir() -> PathBuf {
    Gateway::binary().ancestors().nth(2).expect("target/release/aisopod-gateway").to_owned()
}

/// With `log_level = "warn"` a gateway doesn't say which port it took, so it is told one.
fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

fn unix_path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("gateway.sock")
}

/// Nobody is dropped while it is measured what the silent cost, or those who read nothing: the servers beside it don't either.
fn settings(addr: SocketAddr, unix: &Path, heartbeat: &str) -> String {
    let unix = unix.display();
    let credential = |name: &str, role: &str, token: &str| {
        let digest = SecretDigest::of(token.as_bytes()).to_hex();
        format!(
            "[[auth.credentials]]\nname = \"{name}\"\nrole = \"{role}\"\nscopes = [\"*\"]\ntoken_sha256 = \"{digest}\"\n"
        )
    };
    let credentials = credential("figures", "operator", TOKEN) + &credential(NODE, "node", NODE_TOKEN);
    format!(
        "listen = [\"{addr}\", \"unix:{unix}\"]\nlog_level = \"warn\"\n[handshake]\ntimeout = \"1h\"\n\
         [limits]\nwrite_timeout = \"1h\"\n\
         [heartbeat]\n{heartbeat}\n[auth]\n\
         mode = \"token\"\n{credentials}"
    )
}

fn wait_for_ready(notify: &UnixDatagram) {
    let mut buffer = [0; 1024];
    loop {
        let length = notify.recv(&mut buffer).expect("READY=1 in time");
        if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            return;
        }
    }
}
