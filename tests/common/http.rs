//! HTTP without a library: requests are sent byte for byte as written, and exactly one response is read at a time.

use super::Gateway;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

pub const GET_WS: &str = "GET /ws HTTP/1.1";

/// The headers of a minimal valid handshake, with the key of RFC 6455.
const HANDSHAKE_HEADERS: [&str; 5] = [
    "Host: gw.example",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// A handshake without the header named `removed` and with the `added` lines, separated by `|`.
pub fn handshake_request(line: &str, removed: &str, added: &str) -> String {
    let kept = HANDSHAKE_HEADERS.iter().copied().filter(|header| header.split(':').next() != Some(removed));
    let lines = [line].into_iter().chain(kept).chain(added.split('|').filter(|line| !line.is_empty()));
    lines.map(|line| format!("{line}\r\n")).collect::<String>() + "\r\n"
}

/// The value of the `Authorization` header for a token.
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A request with a body. `headers` are whole lines.
pub fn request(line: &str, authorization: Option<&str>, headers: &str, body: &str) -> String {
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let length = body.len();
    format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}{headers}Content-Length: {length}\r\n\r\n{body}")
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    /// The value of a header, which must not be repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let value = values.next();
        assert!(values.next().is_none(), "{name} is repeated: {self:?}");
        value
    }

    pub fn error_code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Checks what all JSON responses have in common, and the members of an error's body.
    pub fn assert_json(&self, what: &str) {
        assert_eq!(self.header("content-type"), Some("application/json"), "{what}: {self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{what}: {self:?}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{what}: {self:?}");
        if self.status < 400 || self.body.is_empty() {
            return;
        }
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{what}: {error}: {self:?}"));
        let (top, inner) = (body.as_object().expect(what), body["error"].as_object().expect(what));
        assert_eq!(top.keys().collect::<Vec<_>>(), ["error"], "{what}");
        let names: Vec<_> = inner.keys().filter(|name| *name != "data").collect();
        assert_eq!(names, ["code", "message"], "{what}");
        let is_text = |name: &&String| inner[*name].as_str().is_some_and(|text| !text.is_empty());
        assert!(names.iter().all(is_text), "{what}: {self:?}");
    }
}

/// A connection for any number of requests.
pub struct HttpConnection {
    pub reader: BufReader<TcpStream>,
}

impl HttpConnection {
    pub fn open(gateway: &Gateway) -> HttpConnection {
        HttpConnection { reader: BufReader::new(gateway.tcp()) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).expect("an open connection");
    }

    /// The next response. A response to HEAD has no body.
    pub fn receive(&mut self, has_body: bool) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let length = self.reader.read_line(&mut head).expect("a header");
            assert!(length > 0, "the connection ended in a header: {head:?}");
        }
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head:?}"));
        let mut response = Response { status, head, body: String::new() };
        let length = response.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        if has_body {
            let mut body = vec![0; length];
            self.reader.read_exact(&mut body).expect("a complete body");
            response.body = String::from_utf8(body).expect("UTF-8");
        }
        response
    }

    pub fn read_to_end(&mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).expect("the end of the stream");
        rest
    }
}

/// Sends one request on a new connection.
pub fn fetch(gateway: &Gateway, request: impl AsRef<[u8]>) -> Response {
    let mut connection = HttpConnection::open(gateway);
    connection.send(request.as_ref());
    connection.receive(!request.as_ref().starts_with(b"HEAD "))
}

/// Sends a request on any stream and reads to the end of the stream. Returns head and body.
pub fn exchange(stream: &mut (impl Read + Write), request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).expect("an open connection");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response in UTF-8");
    let (head, body) =
        response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response to {request:?}: {response:?}"));
    (head.to_owned(), body.to_owned())
}
