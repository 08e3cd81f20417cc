//! The binary under test as a process.

use super::http::{bearer, exchange};
use super::process::Lines;
use super::{Client, TIMEOUT, poll, wait_for};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;

/// A running gateway with a directory of its own. Killed when dropped.
pub struct Gateway {
    child: Child,
    log: Lines,
    dir: tempfile::TempDir,
    addr: SocketAddr,
}

impl Gateway {
    pub fn binary() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_aisopod-gateway"))
    }

    /// Starts a gateway with `settings` as its configuration. Unless they set `listen`, it listens on a free port of
    /// 127.0.0.1 and on [`Gateway::unix_path`].
    pub fn start(settings: &str) -> Gateway {
        Self::start_with(Command::new(Self::binary()), settings)
    }

    /// The same with a command that runs the gateway; `--config FILE` is appended to it.
    pub fn start_with(mut command: Command, settings: &str) -> Gateway {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = write_config(dir.path(), settings);
        command.arg("--config").arg(&path).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the gateway starts");
        let log = Lines::collect(child.stderr.take());
        let mut gateway = Gateway { child, log, dir, addr: ([0, 0, 0, 0], 0).into() };
        let line = gateway.wait_for_line("the address", |line| line.contains("listening addr=127.0.0.1:"));
        gateway.addr = line.rsplit("addr=").next().unwrap().parse().expect("an address");
        gateway
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The Unix socket, unless the settings name other addresses.
    pub fn unix_path(&self) -> PathBuf {
        self.dir.path().join("gateway.sock")
    }

    /// The directory with its configuration, `config.toml`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(status.success(), "kill -{name}");
    }

    /// Replaces the configuration and requests a reload. Returns the log line with the result.
    pub fn reload(&self, settings: &str) -> String {
        write_config(self.dir.path(), settings);
        let is_result = |line: &String| line.contains(" reloaded ") || line.contains(" reload failed");
        let results = || self.log().into_iter().filter(is_result).collect::<Vec<_>>();
        let before = results().len();
        self.signal("HUP");
        wait_for("the result of the reload", || results().get(before).cloned())
    }

    pub fn log(&self) -> Vec<String> {
        self.log.all()
    }

    pub fn wait_for_line(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        self.log.wait_for(what, matches)
    }

    /// Waits until at least `count` disconnects are in the log. Returns their lines.
    pub fn wait_for_disconnects(&self, count: usize) -> Vec<String> {
        wait_for("disconnects in the log", || {
            let lines = self.log().into_iter().filter(|line| line.contains(" disconnected conn_id="));
            Some(lines.collect::<Vec<_>>()).filter(|lines| lines.len() >= count)
        })
    }

    /// Reads `/status` over the Unix socket, which also works across network namespaces.
    pub fn status(&self) -> Value {
        let mut stream = UnixStream::connect(self.unix_path()).expect("the Unix socket");
        let (head, body) = exchange(&mut stream, "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str(&body).expect("JSON")
    }

    pub fn wait_for_status(&self, what: &str, mut matches: impl FnMut(&Value) -> bool) -> Value {
        let attempt = || Some(self.status()).filter(&mut matches);
        poll(attempt, || format!("timed out: {what}; {:#}; {:#?}", self.status(), self.log()))
    }

    pub fn wait_for_clients(&self, count: u64) -> Value {
        self.wait_for_status(&format!("{count} clients"), |status| status["clients"]["total_connections"] == count)
    }

    pub fn open_descriptors(&self) -> Value {
        self.status()["process"]["open_descriptors"].take()
    }

    /// Waits until no client is connected and as many descriptors are open as `before`, which was read earlier.
    pub fn wait_for_descriptors(&self, before: &Value) -> Value {
        self.wait_for_status("closed descriptors", |status| {
            status["clients"]["total_connections"] == 0 && status["process"]["open_descriptors"] == *before
        })
    }

    /// Connects a client without credentials.
    pub fn connect(&self) -> Client {
        self.connect_as("").expect("the gateway accepts anonymous clients").0
    }

    /// Connects a client with this token; with an empty one, without credentials.
    pub fn connect_as(&self, token: &str) -> tungstenite::Result<(Client, Response)> {
        let stream = self.tcp();
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{}/ws", self.addr).into_client_request()?;
        if !token.is_empty() {
            request.headers_mut().insert("authorization", bearer(token).parse().expect("a header's value"));
        }
        match tungstenite::client(request, stream) {
            Ok((socket, response)) => Ok((Client { socket }, response)),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(error),
            Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("a blocking handshake was interrupted"),
        }
    }

    /// A TCP connection without a handshake.
    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("the gateway accepts connections");
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }

    /// Sends SIGTERM and waits for the exit. Returns the log as well.
    pub fn stop(mut self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM");
        let status = self.wait();
        (status, self.log())
    }

    /// Waits until the process has exited and its last log line is read.
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait_for("the gateway's exit", || self.child.try_wait().expect("a child"));
        self.wait_for_line("the last line", |line| line.contains(" stopped "));
        status
    }
}

/// Writes the configuration with these settings, and returns its path.
fn write_config(dir: &Path, settings: &str) -> PathBuf {
    let mut file = String::new();
    let top_level = settings.split("\n[").next().filter(|text| !text.starts_with('['));
    if !top_level.is_some_and(|text| text.contains("listen =")) {
        let unix = dir.join("gateway.sock");
        let _ = writeln!(file, "listen = [\"127.0.0.1:0\", \"unix:{}\"]", unix.display());
    }
    file.push_str(settings);
    if !settings.contains("[heartbeat]") {
        // The longest allowed interval. The first ping still comes at a random time within it.
        file.push_str("\n[heartbeat]\ninterval = \"1h\"\ntimeout = \"1h\"\n");
    }
    let path = dir.join("config.toml");
    std::fs::write(&path, file).expect("a writable directory");
    path
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail if it has exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
