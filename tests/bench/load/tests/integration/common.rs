//! A small blocking server, one thread for each connection, that does to a client whatever a test wants; and the program
//! under test, with a deadline.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub const TEXT: u8 = 0x81;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// No run of the program takes longer in a test.
const LONGEST_RUN: Duration = Duration::from_secs(30);

/// A connection after the handshake.
pub struct Client {
    stream: TcpStream,
    /// The request's head.
    pub request: String,
}

impl Client {
    /// Reads the request.
    pub fn accept(mut stream: TcpStream) -> Option<Client> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        Some(Client { stream, request: String::from_utf8(head).expect("a request in UTF-8") })
    }

    /// Answers with a 101.
    pub fn upgrade(&mut self) {
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
    }

    /// Writes bytes; a client that has gone is no matter here.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Writes bytes in pieces of this size, each in a packet of its own.
    pub fn write_pieces(&mut self, bytes: &[u8], size: usize) {
        self.stream.set_nodelay(true).expect("a TCP stream");
        for piece in bytes.chunks(size) {
            self.write(piece);
            // Lets the client read between two pieces.
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// The next frame: its first byte and its payload. `None` at the end.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut start = [0; 2];
        self.stream.read_exact(&mut start).ok()?;
        assert_ne!(start[1] & 0x80, 0, "a client's frame is masked");
        let length = match start[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.exactly()?)),
            127 => u64::from_be_bytes(self.exactly()?),
            length => length.into(),
        };
        let mask: [u8; 4] = self.exactly()?;
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Some((start[0], payload))
    }

    fn exactly<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Answers every text with what this makes of it, and a close frame with a close frame and the end.
    pub fn serve(&mut self, mut answer: impl FnMut(&mut Client, Vec<u8>)) {
        while let Some((first, payload)) = self.receive() {
            match first {
                TEXT => answer(self, payload),
                CLOSE => {
                    self.write(&frame(CLOSE, &payload));
                    return self.end();
                }
                _ => {}
            }
        }
    }

    /// Ends the connection.
    pub fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Another handle on it.
    pub fn another(&self) -> Client {
        Client { stream: self.stream.try_clone().expect("a descriptor"), request: String::new() }
    }
}

/// A server's frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let header = match payload.len() {
        length @ 0..=125 => vec![first, length as u8],
        length @ 126..=0xffff => [&[first, 126][..], &(length as u16).to_be_bytes()].concat(),
        length => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [&header, payload].concat()
}

/// Serves with this, in a thread for each connection, until the test process ends.
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

/// Serves upgraded connections with this.
pub fn websocket(serve: impl Fn(Client) + Send + Sync + 'static) -> SocketAddr {
    listen(move |stream| {
        if let Some(mut client) = Client::accept(stream) {
            client.upgrade();
            serve(client);
        }
    })
}

/// Echoes as the contract says: a text beginning with `!` goes to all.
pub fn echo() -> SocketAddr {
    let all = Arc::new(Mutex::new(Vec::<Client>::new()));
    websocket(move |mut client| {
        all.lock().unwrap().push(client.another());
        client.serve(|client, text| {
            let answer = frame(TEXT, &text);
            match text.first() {
                Some(b'!') => all.lock().unwrap().iter_mut().for_each(|one| one.write(&answer)),
                _ => client.write(&answer),
            }
        });
    })
}

/// The test that isn't one: the process that `Server` starts.
#[test]
#[ignore = "it is the server of other tests"]
fn serve() {
    println!("\n{LISTENING}{}", echo());
    thread::sleep(LONGEST_RUN * 2);
}

const LISTENING: &str = "listening ";

/// `echo` in a process of its own, whose memory and system calls are nobody else's.
pub struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    /// Starts this test program once more, as the server.
    pub fn start() -> Server {
        let mut child = Command::new(std::env::current_exe().expect("a path"))
            .args(["--ignored", "--exact", "common::serve", "--nocapture"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let addr = lines.find_map(|line| line.strip_prefix(LISTENING)?.parse().ok()).expect("an address");
        Server { child, addr }
    }

    /// Runs the program against it.
    pub fn load(&self, mode: &str, options: &str) -> Run {
        load(mode, self.addr, &format!("{options} --pid {}", self.child.id()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a run of the program ended.
pub struct Run {
    pub code: Option<i32>,
    pub error: String,
    output: String,
}

impl Run {
    /// The JSON of a run that went well.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.error);
        assert_eq!(self.output.lines().count(), 1, "{}", self.output);
        serde_json::from_str(&self.output).expect("a line of JSON")
    }

    /// Checks that it failed with this exit code and these words.
    pub fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{}{}", self.output, self.error);
        assert!(self.error.contains(words), "{}", self.error);
        assert_eq!(self.output, "");
    }
}

/// Runs the program: a mode, the server, and options.
pub fn load(mode: &str, addr: SocketAddr, options: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args([mode, "--addr", &addr.to_string()]).args(options.split_ascii_whitespace());
    run(&mut command)
}

/// Runs a command, and ends it when it takes too long.
pub fn run(command: &mut Command) -> Run {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program that can be started");
    let deadline = Instant::now() + LONGEST_RUN;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("a child");
            panic!("{command:?} takes longer than {LONGEST_RUN:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().expect("its output");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Run { code: status.code(), output: text(stdout), error: text(stderr) }
}
