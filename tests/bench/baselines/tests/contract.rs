//! Every peer keeps the contract that the benchmark relies on, spoken here byte by byte.
//!
//! Those in Node and Python are left out, with a word, when what they need isn't installed; in CI they fail then.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

struct Peer {
    child: Child,
    addr: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start(mut command: Command, flags: &[&str]) -> Peer {
        command.args(["--listen", "127.0.0.1:0"]).args(flags).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.strip_prefix("listening ").unwrap_or_else(|| panic!("{line:?}")).trim().to_owned();
        Peer { child, addr }
    }

    fn connect(&self) -> Client {
        self.connect_and_hear("early")
    }

    /// Sends a message right with the request, and hears what has this in it.
    fn connect_and_hear(&self, expected: &str) -> Client {
        let mut client = self.connect_and_say(b"early");
        let (first, answer) = client.hear();
        let answer = String::from_utf8(answer).unwrap();
        assert!(first == TEXT && answer.contains(expected), "{first} {answer}");
        client
    }

    fn connect_and_say(&self, early: &[u8]) -> Client {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ignored\r\n\r\n",
            self.addr
        );
        stream.write_all(&[request.as_bytes(), &frame(TEXT, early)].concat()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Client(stream)
    }
}

struct Client(TcpStream);

impl Client {
    fn say(&mut self, first: u8, payload: &[u8]) {
        self.0.write_all(&frame(first, payload)).unwrap();
    }

    fn read<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn hear(&mut self) -> (u8, Vec<u8>) {
        let [first, length] = self.read();
        let length = match length {
            126 => u64::from(u16::from_be_bytes(self.read())),
            127 => u64::from_be_bytes(self.read()),
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).unwrap();
        (first, payload)
    }

    /// Waits for the server to end the connection, and says whether it did.
    fn ends(mut self) -> bool {
        let mut rest = Vec::new();
        !matches!(self.0.read_to_end(&mut rest), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x1f, 0x2e, 0x3d, 0x4c];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn tools() -> PathBuf {
    let tools = std::env::var_os("AISOPOD_TOOLS").map(PathBuf::from);
    tools.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"))
}

fn script(program: &str, file: &str, package: &str) -> Option<Command> {
    let (python, node) = (tools().join("python"), tools().join("node/node_modules"));
    if ![&python, &node].iter().any(|dir| dir.join(package).exists()) {
        assert!(
            std::env::var_os("CI").is_none_or(|value| value != "true"),
            "{file}: {package} is not installed, and in CI nothing is skipped"
        );
        eprintln!("SKIPPED {file}: {package} is not installed; make tools installs it");
        return None;
    }
    let mut command = Command::new(program);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).env("PYTHONPATH", python).env("NODE_PATH", node);
    Some(command)
}

fn echoes_and_broadcasts(command: Command, variant: &[&str]) {
    let mut peer = Peer::start(command, variant);
    let (mut one, mut other) = (peer.connect(), peer.connect());
    for length in [0, 1, 125, 126, 65_535, 65_536, 256 * 1024] {
        let text = vec![b'x'; length];
        one.say(TEXT, &text);
        assert!(one.hear() == (TEXT, text), "{length} bytes");
    }
    let pipelined: Vec<u8> = (0..100).flat_map(|index| frame(TEXT, format!("{index}").as_bytes())).collect();
    // In two writes that part a frame.
    one.0.write_all(&pipelined[..501]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    one.0.write_all(&pipelined[501..]).unwrap();
    for index in 0..100 {
        assert_eq!(one.hear(), (TEXT, format!("{index}").into_bytes()));
    }
    one.say(TEXT, b"!to all");
    for client in [&mut one, &mut other] {
        assert_eq!(client.hear(), (TEXT, b"!to all".to_vec()));
    }
    one.say(PING, b"still there?");
    assert_eq!(one.hear(), (PONG, b"still there?".to_vec()));
    one.say(CLOSE, &1000_u16.to_be_bytes());
    assert_eq!(one.hear(), (CLOSE, 1000_u16.to_be_bytes().to_vec()));
    assert!(one.ends());
    // Who has left is no trouble for the others.
    other.say(TEXT, b"!to one");
    assert_eq!(other.hear(), (TEXT, b"!to one".to_vec()));
    ends_on_sigterm(&mut peer);
}

fn keeps_the_contract(command: impl Fn() -> Option<Command>, variant: &[&str]) {
    for check in [echoes_and_broadcasts, pings_and_drops_the_silent, answers_json_rpc] {
        let Some(command) = command() else { return };
        check(command, variant);
    }
}

fn pings_and_drops_the_silent(command: Command, variant: &[&str]) {
    let peer = Peer::start(command, &[variant, &["--ping-interval", "1"]].concat());
    let (mut live, silent) = (peer.connect(), peer.connect());
    std::thread::scope(|scope| {
        let silent = scope.spawn(move || silent.ends());
        for pings in 1.. {
            let (first, payload) = live.hear();
            assert_eq!(first, PING);
            live.say(PONG, &payload);
            if pings >= 4 && silent.is_finished() {
                break;
            }
        }
        assert!(silent.join().unwrap(), "nothing but silence, and not dropped");
    });
    live.say(TEXT, b"still here");
    while live.hear() != (TEXT, b"still here".to_vec()) {}
}

fn answers_json_rpc(command: Command, variant: &[&str]) {
    let peer = Peer::start(command, &[variant, &["--json"]].concat());
    // What isn't JSON is answered with an error.
    let mut client = peer.connect_and_hear(r#""error""#);
    client.say(TEXT, br#"{"jsonrpc":"2.0","id":7,"method":"gateway.echo","params":{"text":"x"}}"#);
    let (first, answer) = client.hear();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((first, answer), (TEXT, serde_json::json!({"jsonrpc": "2.0", "result": {"text": "x"}, "id": 7})));
    client.say(TEXT, b"!to all");
    assert_eq!(client.hear(), (TEXT, b"!to all".to_vec()));
}

fn ends_on_sigterm(peer: &mut Peer) {
    let killed = Command::new("kill").args(["-TERM", &peer.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let deadline = Instant::now() + PATIENCE;
    while peer.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "not ended on SIGTERM");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(peer.child.try_wait().unwrap().unwrap().success());
}

fn program(path: &str) -> impl Fn() -> Option<Command> {
    move || Some(Command::new(path))
}

#[test]
fn predecessor() {
    keeps_the_contract(program(env!("CARGO_BIN_EXE_predecessor")), &[]);
}

#[test]
fn tuned() {
    keeps_the_contract(program(env!("CARGO_BIN_EXE_predecessor")), &["--tuned"]);
}

#[test]
fn fast() {
    keeps_the_contract(program(env!("CARGO_BIN_EXE_fast")), &[]);
}

#[test]
fn floor() {
    keeps_the_contract(program(env!("CARGO_BIN_EXE_floor")), &[]);
}

#[test]
fn the_deaf_floor_only_pings() {
    let peer = Peer::start(Command::new(env!("CARGO_BIN_EXE_floor")), &["--deaf", "--ping-interval", "0.1"]);
    let mut client = peer.connect_and_say(b"unheard");
    for _ in 0..3 {
        assert_eq!(client.hear(), (PING, vec![0, 0, 0, 1]));
    }
}

#[test]
fn channel() {
    let mut peer = Peer::start(Command::new(env!("CARGO_BIN_EXE_channel")), &["--json"]);
    let mut client = peer.connect_and_say(br#"{"jsonrpc":"2.0","id":1,"method":"x"}"#);
    assert!(String::from_utf8(client.hear().1).unwrap().contains("-32601"));
    let subscribe = br#"{"jsonrpc":"2.0","id":2,"method":"gateway.subscribe","params":{"topics":["t"]}}"#;
    client.say(TEXT, subscribe);
    let answer = br#"{"id":2,"jsonrpc":"2.0","result":{"topics":["t"]}}"#;
    assert_eq!(client.hear(), (TEXT, answer.to_vec()));
    for seq in 1..3 {
        client.say(TEXT, br#"{"jsonrpc":"2.0","id":3,"method":"gateway.publish","params":{"topic":"t","data":[1]}}"#);
        let mut heard = [client.hear().1, client.hear().1].map(|text| String::from_utf8(text).unwrap());
        heard.sort();
        let event =
            format!(r#"{{"jsonrpc":"2.0","method":"gateway.event","params":{{"data":[1],"seq":{seq},"topic":"t"}}}}"#);
        assert_eq!(heard, [r#"{"id":3,"jsonrpc":"2.0","result":{"queued":1}}"#.to_owned(), event]);
    }
    ends_on_sigterm(&mut peer);
}

#[test]
fn node() {
    keeps_the_contract(|| script("node", "node.mjs", "ws"), &[]);
}

#[test]
fn python() {
    keeps_the_contract(|| script("python3", "python.py", "websockets"), &[]);
}
