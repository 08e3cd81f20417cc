//! A real gateway on a free port, and clients for it.

pub mod credential;
pub mod fleet;
pub mod frames;
pub mod process;
pub mod tools;

use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tungstenite::handshake::client::Response;
use tungstenite::http::Request;
use tungstenite::{Message, WebSocket};

/// How long anything may take before a test gives up. Nothing waits that long when it works.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds; panics with `what` when it doesn't in time.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The gateway's log so far, and a bell for each new line.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

/// A running gateway process with a directory of its own. Killed when dropped.
pub struct Gateway {
    child: Child,
    log: Arc<Log>,
    dir: tempfile::TempDir,
    addr: SocketAddr,
}

impl Gateway {
    /// The binary under test.
    pub fn binary() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_aisopod-gateway"))
    }

    /// Starts a gateway on a free port of 127.0.0.1 and on [`Gateway::unix_path`], with `settings` in its file.
    pub fn start(settings: &str) -> Gateway {
        Self::start_by(Command::new(Self::binary()), settings)
    }

    /// The same by a command that ends up running the gateway; `--config FILE` is added to it.
    pub fn start_by(mut command: Command, settings: &str) -> Gateway {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut file = String::new();
        if !settings.contains("listen =") {
            let unix = dir.path().join("gateway.sock");
            let _ = writeln!(file, "listen = [\"127.0.0.1:0\", \"unix:{}\"]", unix.display());
        }
        file.push_str(settings);
        if !settings.contains("[heartbeat]") {
            // As few pings as can be. The first comes at any time within an interval: tests pass over them.
            file.push_str("\n[heartbeat]\ninterval = \"1h\"\ntimeout = \"1h\"\n");
        }
        let path = dir.path().join("config.toml");
        std::fs::write(&path, file).expect("a writable directory");
        command.arg("--config").arg(&path).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the gateway starts");
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("stderr is piped");
        let reader = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                reader.lines.lock().unwrap().push(line);
                reader.grown.notify_all();
            }
        });
        let mut gateway = Gateway { child, log, dir, addr: ([0, 0, 0, 0], 0).into() };
        let line = gateway.wait_for_line("it listens", |line| line.contains("listening addr=127.0.0.1:"));
        gateway.addr = line.rsplit("addr=").next().unwrap().parse().expect("an address");
        gateway
    }

    /// Where it listens over TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens beside that, unless the settings say otherwise.
    pub fn unix_path(&self) -> PathBuf {
        self.dir.path().join("gateway.sock")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(status.success(), "kill -{name}");
    }

    /// The log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
    }

    /// The first log line that fits, as soon as there is one.
    pub fn wait_for_line(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| fits(line)) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "no log line that {what}; the log: {:#?}", *lines);
            lines = self.log.grown.wait_timeout(lines, Duration::from_millis(100)).unwrap().0;
        }
    }

    /// The lines that say that a client has gone, as soon as there are so many.
    pub fn disconnections(&self, count: usize) -> Vec<String> {
        let lines = || self.log().into_iter().filter(|line| line.contains(" disconnected conn_id=")).collect();
        wait_until("the log tells of them", || Vec::len(&lines()) >= count);
        lines()
    }

    /// Reads `/status`, over the Unix socket: it is there when the network is not.
    pub fn status(&self) -> Value {
        let mut stream = UnixStream::connect(self.unix_path()).expect("the Unix socket");
        let (head, body) = http(&mut stream, "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Waits until `/status` is as `fits` wants it.
    pub fn wait_for_status(&self, what: &str, mut fits: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if fits(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "gave up waiting until {what}; {status:#}; {:#?}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until so many clients are connected.
    pub fn wait_for_clients(&self, count: u64) -> Value {
        self.wait_for_status(&format!("{count} clients"), |status| status["clients"]["total_connections"] == count)
    }

    /// Connects a client without credentials.
    pub fn connect(&self) -> Client {
        self.connect_with(&[]).expect("an open gateway").0
    }

    /// Connects a client that sends these headers too.
    pub fn connect_with(&self, headers: &[(&str, &str)]) -> tungstenite::Result<(Client, Response)> {
        let stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut request = Request::builder()
            .uri(format!("ws://{}/ws", self.addr))
            .header("Host", self.addr.to_string())
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", tungstenite::handshake::client::generate_key());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match tungstenite::client(request.body(()).expect("a valid request"), stream) {
            Ok((socket, response)) => Ok((Client { socket }, response)),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(error),
            Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("a blocking handshake was interrupted"),
        }
    }

    /// A bare TCP connection.
    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(mut self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM");
        let status = self.wait();
        (status, self.log())
    }

    /// Waits for the end of the process and of its log.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the gateway ends", || {
            ended = self.child.try_wait().expect("a child");
            ended.is_some()
        });
        let status = ended.expect("it ended");
        if status.signal().is_none() {
            self.wait_for_line("says goodbye", |line| line.contains(" stopped "));
        }
        status
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request and reads to the end of the stream: head and body.
pub fn http(stream: &mut (impl Read + Write), request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).expect("a listening gateway");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request:?}: {answer:?}"));
    (head.to_owned(), body.to_owned())
}

/// A blocking WebSocket client.
pub struct Client {
    pub socket: WebSocket<TcpStream>,
}

impl Client {
    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("an open connection");
    }

    /// The next text message; answers pings meanwhile.
    pub fn receive(&mut self) -> String {
        loop {
            match self.socket.read().expect("an open connection") {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not a text: {other:?}"),
            }
        }
    }

    /// Calls a method and returns the whole answer.
    pub fn call(&mut self, method: &str) -> Value {
        self.send(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#));
        serde_json::from_str(&self.receive()).expect("JSON")
    }

    /// Reads until the gateway closes: the close frame's code and reason.
    pub fn closed(&mut self) -> (u16, String) {
        loop {
            match self.socket.read().expect("a close frame") {
                Message::Close(Some(frame)) => {
                    // Sends our own close frame, and waits for the end of the stream.
                    while self.socket.read().is_ok() {}
                    return (frame.code.into(), frame.reason.to_string());
                }
                Message::Close(None) => panic!("a close frame without a code"),
                _ => {}
            }
        }
    }
}
