//! `/status`, and what of it matters here.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

/// Where the report has the bytes that the gateway holds for its peers: the whole account; in older versions, the outboxes.
const HELD: [&str; 2] = ["/memory/held_bytes", "/outbox/bytes_queued"];
/// Where it has the bound of that account.
const BOUND: &str = "/memory/max_bytes";

/// Reads the report, and waits at most this long for each step.
pub fn read(ops: SocketAddrV4, patience: Duration) -> io::Result<Value> {
    let mut stream = TcpStream::connect_timeout(&ops.into(), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    if !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(head.lines().next().unwrap_or("no response").to_owned()));
    }
    serde_json::from_str(body).map_err(io::Error::other)
}

/// Bytes held for peers now.
pub fn held_bytes(report: &Value) -> u64 {
    HELD.iter().find_map(|pointer| report.pointer(pointer)?.as_u64()).unwrap_or(0)
}

/// The most that may be held for all peers, if the gateway has such a bound.
pub fn bound(report: &Value) -> Option<u64> {
    report.pointer(BOUND)?.as_u64()
}
