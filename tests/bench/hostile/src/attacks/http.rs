//! Plain HTTP, and bytes that aren't HTTP.

use super::{Attack, Group, MAX_MESSAGE, PAUSE, Reading, Script};
use crate::gateway::Credential;
use std::time::Duration;

/// Connections of most of these attacks.
const MANY: usize = 64;
/// Connections that are slow on purpose, or stop.
const SLOW: usize = 1000;

/// How a TLS client greets: a handshake record of version 3.1 with a ClientHello.
const TLS_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub fn all() -> Vec<Attack> {
    let mut attacks = operators();
    attacks.extend(pipelined());
    attacks.extend(incomplete());
    attacks
}

/// The admin API at the operators' address.
fn operators() -> Vec<Attack> {
    let list = |credential: Credential| {
        let head = "GET /clients?limit=1000 HTTP/1.1\r\nHost: h\r\n";
        format!("{head}{}\r\n", authorization(credential)).into_bytes()
    };
    let many = |name, script| Attack::new(name, [Group::ops(MANY, script)]);
    let lists = Script::flood(&[], &list(Credential::Reader));
    vec![
        many("pipelined GET /clients", lists.clone()),
        many("pipelined GET /clients, unread", lists.reading(Reading::Nothing)),
        many("GET /clients with a wrong token", Script::flood(&[], &list(Credential::None))),
        Attack::new("bodies, a byte at a time", [Group::ops(SLOW, drip(&publication(Credential::Publisher, 100_000)))]),
        Attack::new("bodies of 1 MiB without their end", [Group::ops(SLOW, unfinished_body(Credential::Publisher))]),
        Attack::new("unfinished bodies without credential", [Group::ops(SLOW, unfinished_body(Credential::None))]),
    ]
}

fn authorization(credential: Credential) -> String {
    let token = credential.token().unwrap_or_else(|| "wrong".to_owned());
    format!("Authorization: Bearer {token}\r\n")
}

/// The head of a publication with a body of this length.
fn publication(credential: Credential, length: usize) -> Vec<u8> {
    let head = "POST /topics/flood/messages HTTP/1.1\r\nHost: h\r\n";
    format!("{head}{}Content-Length: {length}\r\n\r\n", authorization(credential)).into_bytes()
}

fn unfinished_body(credential: Credential) -> Script {
    Script::hold(&[publication(credential, MAX_MESSAGE), vec![b' '; MAX_MESSAGE - 1]].concat())
}

/// Requests that are sent faster than they are answered.
fn pipelined() -> Vec<Attack> {
    let health = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(14_000));
    let short = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    let missing = "GET /no/such/path HTTP/1.1\r\nHost: h\r\n\r\n";
    let many = |name, script| Attack::new(name, [Group::tcp(MANY, script)]);
    vec![
        many("pipelined GET /healthz of 14 KB", Script::flood(&[], &health.repeat(8).into_bytes())),
        many("pipelined GET /healthz", Script::flood(&[], short.as_bytes())),
        many("pipelined GET /healthz, unread", Script::flood(&[], short.as_bytes()).reading(Reading::Nothing)),
        many("pipelined 404s", Script::flood(&[], missing.as_bytes())),
        many("garbage", Script::flood(&[], b"\x00\xff\r\n:garbage ")),
        many("TLS ClientHello", bytes(TLS_HELLO)),
        many("HTTP/2 preface", bytes(HTTP2_PREFACE)),
    ]
}

/// Requests that don't end.
fn incomplete() -> Vec<Attack> {
    let many = |name, script| Attack::new(name, [Group::tcp(SLOW, script)]);
    let long = format!("GET /ws HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(16_000));
    vec![
        many("half headers", Script::hold(b"GET /ws HTTP/1.1\r\nHost: h\r\nX: half")),
        many("half headers of 16 KB", Script::hold(long.as_bytes())),
        many("headers, a byte at a time", drip(b"GET /ws HTTP/1.1\r\nX: ")),
    ]
}

/// Sends these bytes, waits until the gateway has ended the connection, and starts again at once.
fn bytes(once: &[u8]) -> Script {
    Script { pause: Duration::ZERO, ..Script::hold(once) }
}

fn drip(once: &[u8]) -> Script {
    Script { once: once.to_vec(), repeat: vec![b'x'], drip: Some(PAUSE), pause: PAUSE, ..Script::default() }
}
