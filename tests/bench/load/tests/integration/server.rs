//! A small blocking server with a thread for each connection, and the load generator with a deadline.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use test_support::frames::{self, CLOSE, FIN, parse_client_frame, server_frame};

pub const TEXT: u8 = FIN | frames::TEXT;
pub const BINARY: u8 = FIN | frames::BINARY;
pub const FINAL_CLOSE: u8 = FIN | CLOSE;
pub const PING: u8 = FIN | frames::PING;
pub const PONG: u8 = FIN | frames::PONG;

/// Longest run of the load generator in a test.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// The server's side of a connection.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    /// The head of the handshake request.
    pub request: String,
}

impl Connection {
    pub fn accept(mut stream: TcpStream) -> Option<Connection> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        Some(Connection { stream, unread: Vec::new(), request: String::from_utf8(head).expect("UTF-8") })
    }

    pub fn upgrade(&mut self) {
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
    }

    /// Writes bytes; a client that has closed the connection is ignored.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&server_frame(first, payload));
    }

    pub fn write_in_packets(&mut self, bytes: &[u8], size: usize) {
        self.stream.set_nodelay(true).expect("a TCP stream");
        for packet in bytes.chunks(size) {
            self.write(packet);
            // Gives the client time to read the packet alone.
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Receives a frame: its first byte and its payload. `None` at the end of the stream.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let frame = parse_client_frame(&mut self.unread).expect("a valid frame");
            if let Some(frame) = frame {
                let (first, payload, len) = (frame.first, frame.payload.to_vec(), frame.len);
                self.unread.drain(..len);
                return Some((first, payload));
            }
            let mut buffer = vec![0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(length @ 1..) => self.unread.extend_from_slice(&buffer[..length]),
                _ => return None,
            }
        }
    }

    /// Calls `answer` with each text, and answers a close frame.
    pub fn serve(&mut self, mut answer: impl FnMut(&mut Connection, Vec<u8>)) {
        while let Some((first, payload)) = self.receive() {
            match first {
                TEXT | BINARY => answer(self, payload),
                FINAL_CLOSE => {
                    self.send(FINAL_CLOSE, &payload);
                    return self.shutdown();
                }
                _ => {}
            }
        }
    }

    pub fn shutdown(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    pub fn writer(&self) -> Connection {
        let stream = self.stream.try_clone().expect("a descriptor");
        Connection { stream, unread: Vec::new(), request: String::new() }
    }
}

/// Accepts connections until the test process ends, and calls `serve` for each in a thread of its own.
pub fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let (addr, serve) = (listener.local_addr().expect("an address"), Arc::new(serve));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    addr
}

pub fn websocket(serve: impl Fn(Connection) + Send + Sync + 'static) -> SocketAddr {
    listen(move |stream| {
        if let Some(mut connection) = Connection::accept(stream) {
            connection.upgrade();
            serve(connection);
        }
    })
}

/// Echoes texts; one that begins with `!` is sent to all connections.
pub fn echo() -> SocketAddr {
    let all = Arc::new(Mutex::new(Vec::<Connection>::new()));
    websocket(move |mut connection| {
        all.lock().unwrap().push(connection.writer());
        connection.serve(|connection, text| match text.first() {
            Some(b'!') => all.lock().unwrap().iter_mut().for_each(|one| one.send(TEXT, &text)),
            _ => connection.send(TEXT, &text),
        });
    })
}

/// How a run of the load generator ended.
pub struct Run {
    code: Option<i32>,
    stderr: String,
    stdout: String,
}

impl Run {
    /// The report of a successful run.
    pub fn report(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).expect("a line of JSON")
    }

    /// Checks the message of a failed run.
    pub fn fails_with(&self, message: &str) {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(message), "{}", self.stderr);
        assert_eq!(self.stdout, "");
    }
}

/// Runs the load generator against this address, and kills it if it takes too long.
pub fn load(addr: SocketAddr, options: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(options.split_ascii_whitespace()).args(["--addr", &addr.to_string()]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let deadline = Instant::now() + RUN_TIMEOUT;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("a child");
            panic!("{command:?} takes longer than {RUN_TIMEOUT:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().expect("its output");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Run { code: status.code(), stderr: text(stderr), stdout: text(stdout) }
}
