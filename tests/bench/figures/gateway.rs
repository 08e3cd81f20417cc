//! The real gateway with token authentication, in a process and a directory of its own.

use crate::affinity::on_server_core;
use crate::process::Process;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Token of the operator as which all clients connect.
pub const TOKEN: &str = "the-token-of-the-benchmark-operator";
/// Name of the one node.
pub const NODE: &str = "stalled";
/// Its token.
pub const NODE_TOKEN: &str = "the-token-of-the-benchmark-node";

/// Bound of every wait for the gateway.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Heartbeat settings: each client is pinged every three seconds.
pub const PINGS: &str = "interval = \"3s\"\ntimeout = \"3s\"";
/// Heartbeat settings: no ping during a measurement.
pub const NO_PINGS: &str = "interval = \"1h\"\ntimeout = \"1h\"";

pub struct Gateway {
    process: Process,
    addr: SocketAddr,
    /// Time from the start of the process to READY=1.
    pub start_time: Duration,
    /// Its configuration; removed when this is dropped.
    _dir: tempfile::TempDir,
}

impl Gateway {
    pub fn binary() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_aisopod-gateway"))
    }

    /// Starts a gateway on the servers' core with these heartbeat settings, and waits until it is ready.
    pub fn start(heartbeat: &str) -> Gateway {
        Self::start_command(on_server_core(Self::binary()), heartbeat)
    }

    /// Starts a gateway on any core, without `taskset` in its start time.
    pub fn start_unpinned(heartbeat: &str) -> Gateway {
        Self::start_command(Command::new(Self::binary()), heartbeat)
    }

    fn start_command(mut command: Command, heartbeat: &str) -> Gateway {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let addr = free_addr();
        write_private(&dir.path().join("operator.token"), TOKEN);
        write_private(&dir.path().join("node.token"), NODE_TOKEN);
        let config = dir.path().join("config.toml");
        write_private(&config, &config_text(addr, heartbeat));
        let notify_path = dir.path().join("notify.sock");
        let notify = UnixDatagram::bind(&notify_path).expect("a socket for READY=1");
        notify.set_read_timeout(Some(TIMEOUT)).expect("a read timeout");
        command.arg("--config").arg(&config).env("NOTIFY_SOCKET", &notify_path).stdin(Stdio::null());
        let start = Instant::now();
        let process = Process::start(&mut command);
        wait_for_ready(&notify);
        Gateway { process, addr, start_time: start.elapsed(), _dir: dir }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// The directory that cargo builds in.
pub fn target_dir() -> PathBuf {
    Gateway::binary().ancestors().nth(2).expect("target/release/aisopod-gateway").to_owned()
}

/// A free address. With port 0, a server would have to report the port in its log.
pub fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

/// Writes a file that only the user may read: the gateway rejects a token file that others can access.
fn write_private(path: &Path, text: &str) {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a writable directory");
}

/// The timeouts of an hour, and the limit on connections without a request, keep silent and stalled connections open
/// during a measurement, as the baselines do.
fn config_text(addr: SocketAddr, heartbeat: &str) -> String {
    format!(
        r#"
listen = "{addr}"
log_level = "warn"
[handshake]
timeout = "1h"
max_in_progress = 1000000
[limits]
write_timeout = "1h"
[heartbeat]
{heartbeat}
[auth]
mode = "token"
[[auth.credentials]]
name = "benchmark"
role = "operator"
scopes = ["*"]
token_file = "operator.token"
[[auth.credentials]]
name = "{NODE}"
role = "node"
token_file = "node.token"
"#
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
