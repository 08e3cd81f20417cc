//! HTTP as raw bytes: requests exactly as a test writes them, answers read to their end and not further.

use crate::common::Gateway;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// The request line of an opening handshake.
pub const WS: &str = "GET /ws HTTP/1.1";

/// The headers of a minimal good opening handshake, with the key of RFC 6455.
const HEADERS: [&str; 5] = [
    "Host: gw.example",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// An opening handshake without the header named `dropped`, and with the `added` lines, split at `|`.
pub fn handshake(line: &str, dropped: &str, added: &str) -> String {
    let kept = HEADERS.iter().copied().filter(|header| header.split(':').next() != Some(dropped));
    let lines = [line].into_iter().chain(kept).chain(added.split('|').filter(|line| !line.is_empty()));
    lines.map(|line| format!("{line}\r\n")).collect::<String>() + "\r\n"
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// All values of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The value of a header that is there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.headers(name);
        assert!(all.len() <= 1, "{name} is there more than once: {self:?}");
        all.first().copied()
    }

    /// The code in an error's body.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Checks what all answers with a body have in common, and all errors.
    pub fn check(&self, what: &str) {
        assert_eq!(self.header("content-type"), Some("application/json"), "{what}: {self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{what}: {self:?}");
        if self.status < 400 || self.body.is_empty() {
            return;
        }
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{what}: {error}: {self:?}"));
        let (top, inner) = (body.as_object().expect(what), body["error"].as_object().expect(what));
        assert_eq!(top.keys().collect::<Vec<_>>(), ["error"], "{what}");
        let names: Vec<_> = inner.keys().filter(|name| *name != "data").collect();
        assert_eq!(names, ["code", "message"], "{what}");
        assert!(
            names.iter().all(|name| inner[*name].as_str().is_some_and(|text| !text.is_empty())),
            "{what}: {self:?}"
        );
    }
}

/// A connection that requests go over and answers come back on.
pub struct Connection {
    pub reader: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(gateway: &Gateway) -> Connection {
        Connection { reader: BufReader::new(gateway.tcp()) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).expect("an open connection");
    }

    /// The next answer; one to a HEAD request has no body.
    pub fn receive(&mut self, has_body: bool) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let length = self.reader.read_line(&mut head).expect("a header");
            assert!(length > 0, "the connection ended in a header: {head:?}");
        }
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head:?}"));
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        if has_body {
            let mut body = vec![0; length];
            self.reader.read_exact(&mut body).expect("a whole body");
            answer.body = String::from_utf8(body).expect("UTF-8");
        }
        answer
    }

    /// Whatever comes until the gateway ends the connection.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).expect("the end of the stream");
        rest
    }
}

/// Sends one request on a connection of its own and reads the answer.
pub fn ask(gateway: &Gateway, request: impl AsRef<[u8]>) -> Answer {
    let mut connection = Connection::open(gateway);
    connection.send(request.as_ref());
    connection.receive(!request.as_ref().starts_with(b"HEAD "))
}
