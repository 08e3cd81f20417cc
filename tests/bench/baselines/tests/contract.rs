//! Every baseline implements what the benchmark relies on.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use test_support::frames::{self, FIN, client_frame, parse_server_frame};

const TIMEOUT: Duration = Duration::from_secs(30);
const TEXT: u8 = FIN | frames::TEXT;
const CLOSE: u8 = FIN | frames::CLOSE;
const PING: u8 = FIN | frames::PING;
const PONG: u8 = FIN | frames::PONG;

struct Server {
    child: Child,
    addr: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(program: &str, flags: &[&str]) -> Server {
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0"]).args(flags).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.strip_prefix("listening ").unwrap_or_else(|| panic!("{line:?}")).trim().to_owned();
        Server { child, addr }
    }

    /// Connects, with a first text in the same write as the handshake request. Returns the client and the reply to the
    /// text.
    fn connect(&self, text: &[u8]) -> (Client, String) {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ignored\r\n\r\n",
            self.addr
        );
        stream.write_all(&[request.as_bytes(), &client_frame(TEXT, text)].concat()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        let mut client = Client { stream, unread: Vec::new() };
        let reply = client.receive_text();
        (client, reply)
    }

    fn exits_on_sigterm(mut self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let deadline = Instant::now() + TIMEOUT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still running after SIGTERM");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success());
    }
}

struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    fn send(&mut self, first: u8, payload: &[u8]) {
        self.stream.write_all(&client_frame(first, payload)).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some(frame) = parse_server_frame(&self.unread).unwrap() {
                let (message, len) = ((frame.first, frame.payload.to_vec()), frame.len);
                self.unread.drain(..len);
                return message;
            }
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "the server ended the connection");
            self.unread.extend_from_slice(&buffer[..length]);
        }
    }

    /// The next frame that isn't a ping, which must be a text.
    fn receive_text(&mut self) -> String {
        let mut frames = std::iter::repeat_with(|| self.receive());
        let (first, text) = frames.find(|(first, _)| *first != PING).unwrap();
        assert_eq!(first, TEXT);
        String::from_utf8(text).unwrap()
    }

    /// Waits for the server to end the connection, and returns whether it did in time.
    fn wait_for_end(mut self) -> bool {
        let mut rest = Vec::new();
        !matches!(self.stream.read_to_end(&mut rest), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

fn check_contract(program: &str) {
    check_echo_and_broadcast(program);
    check_pings(program);
}

fn check_echo_and_broadcast(program: &str) {
    let server = Server::start(program, &[]);
    let [mut one, mut other] = [0; 2].map(|_| {
        let (client, reply) = server.connect(b"early");
        assert_eq!(reply, "early");
        client
    });
    for length in [0, 1, 125, 126, 65_535, 65_536, 256 * 1024] {
        let text = vec![b'x'; length];
        one.send(TEXT, &text);
        assert!(one.receive() == (TEXT, text), "{length} bytes");
    }
    let pipelined: Vec<u8> = (0..100).flat_map(|index| client_frame(TEXT, format!("{index}").as_bytes())).collect();
    // Two writes that split a frame.
    one.stream.write_all(&pipelined[..501]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    one.stream.write_all(&pipelined[501..]).unwrap();
    for index in 0..100 {
        assert_eq!(one.receive_text(), format!("{index}"));
    }
    one.send(TEXT, b"!to all");
    for client in [&mut one, &mut other] {
        assert_eq!(client.receive_text(), "!to all");
    }
    one.send(PING, b"payload");
    assert_eq!(one.receive(), (PONG, b"payload".to_vec()));
    one.send(CLOSE, &1000_u16.to_be_bytes());
    assert_eq!(one.receive(), (CLOSE, 1000_u16.to_be_bytes().to_vec()));
    assert!(one.wait_for_end());
    // A closed client doesn't disturb a broadcast.
    other.send(TEXT, b"!to one");
    assert_eq!(other.receive_text(), "!to one");
    server.exits_on_sigterm();
}

fn check_pings(program: &str) {
    let server = Server::start(program, &["--ping-interval", "1"]);
    let [(mut answering, _), (silent, _)] = [server.connect(b"early"), server.connect(b"early")];
    std::thread::scope(|scope| {
        let silent = scope.spawn(move || silent.wait_for_end());
        for pings in 1.. {
            let (first, payload) = answering.receive();
            assert_eq!(first, PING);
            answering.send(PONG, &payload);
            if pings >= 4 && silent.is_finished() {
                break;
            }
        }
        assert!(silent.join().unwrap(), "a client that answers no ping stays connected");
    });
    answering.send(TEXT, b"still here");
    while answering.receive() != (TEXT, b"still here".to_vec()) {}
}

#[test]
fn predecessor_implements_the_contract() {
    check_contract(env!("CARGO_BIN_EXE_predecessor"));
}

#[test]
fn fast_implements_the_contract() {
    check_contract(env!("CARGO_BIN_EXE_fast"));
}

#[test]
fn floor_implements_the_contract() {
    check_contract(env!("CARGO_BIN_EXE_floor"));
}

#[test]
fn channel_delivers_events_to_subscribers() {
    let server = Server::start(env!("CARGO_BIN_EXE_channel"), &[]);
    let (mut client, reply) = server.connect(br#"{"jsonrpc":"2.0","id":1,"method":"x"}"#);
    assert!(reply.contains("-32601"), "{reply}");
    client.send(TEXT, br#"{"jsonrpc":"2.0","id":2,"method":"gateway.subscribe","params":{"topics":["t"]}}"#);
    assert_eq!(client.receive_text(), r#"{"id":2,"jsonrpc":"2.0","result":{"topics":["t"]}}"#);
    for seq in 1..3 {
        client.send(TEXT, br#"{"jsonrpc":"2.0","id":3,"method":"gateway.publish","params":{"topic":"t","data":[1]}}"#);
        let mut received = [client.receive_text(), client.receive_text()];
        received.sort();
        let event =
            format!(r#"{{"jsonrpc":"2.0","method":"gateway.event","params":{{"data":[1],"seq":{seq},"topic":"t"}}}}"#);
        assert_eq!(received, [r#"{"id":3,"jsonrpc":"2.0","result":{"queued":1}}"#.to_owned(), event]);
    }
    server.exits_on_sigterm();
}
