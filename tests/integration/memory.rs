//! `limits.max_memory_for_clients`: what is counted, who is closed when it is nearly reached, and who isn't.

use crate::common::http::{GET_WS, HttpConnection, fetch, handshake_request, request};
use crate::common::raw_client::RawClient;
use crate::common::{Gateway, TIMEOUT, wait_until};
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;
use test_support::frames::{BINARY, FIN, TEXT, client_frame};

const MIB: usize = 1024 * 1024;
const LIMIT: u64 = 8 * MIB as u64;
/// What the connection that requests `/status` counts: handshake.max_header_bytes.
const STATUS_REQUEST: u64 = 16 * 1024;

fn start() -> Gateway {
    Gateway::start("[limits]\nmax_memory_for_clients = 8388608\nclose_timeout = \"5s\"")
}

fn held(status: &Value) -> u64 {
    status["memory"]["held_bytes"].as_u64().unwrap()
}

/// The part of a message of 1 MiB that remains unfinished: all but its last byte.
fn unfinished() -> Vec<u8> {
    let mut frame = client_frame(FIN | TEXT, &vec![b'x'; MIB]);
    frame.pop();
    frame
}

#[test]
fn unfinished_message_counts_as_it_arrives_and_until_the_client_leaves() {
    let gateway = start();
    let mut raw = RawClient::connect(&gateway);
    let message = unfinished();
    // The header announces 1 MiB.
    raw.send(&message[..14]);
    let mut other = gateway.connect();
    assert_eq!(other.call("gateway.ping")["result"], "pong");
    let status = gateway.status();
    assert!(held(&status) < 100_000, "a header holds nothing: {status}");
    assert_eq!(status["memory"]["max_bytes"], LIMIT);
    raw.send(&message[14..MIB / 2]);
    gateway.wait_for_status("half of the message is held", |status| held(status) >= (MIB / 2) as u64);
    drop(raw);
    gateway.wait_for_clients(1);
    gateway.wait_for_status("nothing is held", |status| held(status) == STATUS_REQUEST);
}

#[test]
fn bytes_that_come_with_the_handshake_are_counted_once() {
    let gateway = start();
    let mut stream = gateway.tcp();
    // A whole message and a part of another one.
    let message = client_frame(FIN | TEXT, &[b'x'; 1000]);
    let request = [handshake_request(GET_WS, "", "").as_bytes(), &message, &message[..500]].concat();
    stream.write_all(&request).unwrap();
    gateway.wait_for_status("both are handled", |status| {
        (STATUS_REQUEST + 400..STATUS_REQUEST + 2000).contains(&held(status))
    });
    drop(stream);
    gateway.wait_for_clients(0);
    gateway.wait_for_status("nothing is held", |status| held(status) == STATUS_REQUEST);
}

#[test]
fn largest_holders_of_unfinished_messages_are_closed_and_no_other_client() {
    let gateway = start();
    let message = unfinished();
    let mut innocent = RawClient::connect(&gateway);
    innocent.send(&message[..1000]);
    let mut healthy = gateway.connect();
    let mut holders: Vec<_> = (0..12).map(|_| RawClient::connect(&gateway)).collect();
    for holder in &mut holders {
        holder.stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        // A client that was closed meanwhile may be unable to send everything.
        let _ = holder.stream.write_all(&message);
    }
    wait_until("five clients are closed", || holders.iter().filter(|holder| has_input(&holder.stream)).count() >= 5);
    let status = gateway.wait_for_status("seven messages are left", |status| held(status) <= LIMIT / 8 * 7);
    assert_eq!(status["memory"]["max_bytes"], LIMIT);
    gateway.wait_for_line("the warning", |line| line.contains("memory for clients is scarce"));
    let mut closed: Vec<_> = holders.iter_mut().filter(|holder| has_input(&holder.stream)).collect();
    for client in &mut closed {
        let close = (1013, "overloaded: over limits.max_memory_for_clients".to_owned());
        assert_eq!(client.wait_for_close(), Some(close));
    }
    drop(holders);
    let line = gateway.wait_for_line("the reason", |line| line.contains("reason=overloaded code=1013"));
    assert!(line.ends_with(" detail=\"over limits.max_memory_for_clients\""), "{line}");
    assert_eq!(healthy.call("gateway.ping")["result"], "pong");
    gateway.wait_for_clients(2);
    // The rest of the innocent client's message.
    innocent.send(&message[1000..]);
    innocent.send(b"x");
    let (_, answer) = innocent.receive().expect("an answer");
    assert!(String::from_utf8(answer).unwrap().contains("-32700"), "it isn't JSON");
}

/// Whether something was received that isn't read yet.
fn has_input(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_ok()
}

#[test]
fn clients_that_read_nothing_are_closed_before_memory_is_exhausted() {
    let gateway =
        Gateway::start("[limits]\nmax_memory_for_clients = 8388608\nwrite_timeout = \"1m\"\nclose_timeout = \"1s\"\n");
    let mut healthy = gateway.connect();
    let params = "x".repeat(200_000);
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["{params}"]}}"#);
    let request = client_frame(FIN | TEXT, request.as_bytes());
    // Each with the bytes of its request that are sent.
    let mut readers: Vec<_> = (0..40).map(|_| (RawClient::connect(&gateway), 0)).collect();
    for (reader, _) in &mut readers {
        reader.stream.set_nonblocking(true).unwrap();
    }
    gateway.wait_for_status("a client is overloaded", |status| {
        assert!(held(status) <= LIMIT + MIB as u64, "{status}");
        for (reader, sent) in &mut readers {
            while let Ok(n @ 1..) = reader.stream.write(&request[*sent..]) {
                *sent = (*sent + n) % request.len();
            }
        }
        status["closed_total"]["overloaded"].as_u64() >= Some(1)
    });
    assert_eq!(healthy.call("gateway.ping")["result"], "pong");
    drop(readers);
    gateway.wait_for_clients(1);
    gateway.wait_for_status("nothing is held", |status| held(status) == STATUS_REQUEST);
}

#[test]
fn admin_api_answers_503_while_memory_is_scarce_and_status_goes_on() {
    let gateway = Gateway::start(
        "[limits]\nmax_memory_for_clients = 1048576\n[handshake]\nmax_header_bytes = 65536\ntimeout = \"1m\"",
    );
    // Each connection counts its headers: no client holds anything.
    let mut connections: Vec<_> = (0..16).map(|_| HttpConnection::open(&gateway)).collect();
    connections.iter_mut().for_each(|connection| connection.send("GET /healthz HTTP/1.1\r\n"));
    gateway.wait_for_status("memory is scarce", |status| held(status) > MIB as u64 / 8 * 7);
    let response = fetch(&gateway, request("GET /clients", None, "", ""));
    assert_eq!((response.status, &*response.error_code()), (503, "overloaded"));
    assert_eq!(response.header("Retry-After"), Some("5"));
    connections.clear();
    gateway.wait_for_status("memory isn't scarce", |status| held(status) <= MIB as u64 / 8);
    assert_eq!(fetch(&gateway, request("GET /clients", None, "", "")).status, 200);
}

#[test]
fn body_counts_until_its_request_is_answered() {
    let gateway = start();
    let mut connection = HttpConnection::open(&gateway);
    connection.send("POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500011\r\n\r\n");
    connection.send("{\"data\":\"");
    connection.send("x".repeat(400_000));
    gateway.wait_for_status("the body is held", |status| held(status) >= 400_000);
    connection.send("x".repeat(100_000) + "\"}");
    assert_eq!(connection.receive(true).status, 200);
    drop(connection);
    gateway.wait_for_status("nothing is held", |status| held(status) == STATUS_REQUEST);
}

#[test]
fn message_in_fragments_of_any_size_is_whole_for_the_handler() {
    let gateway = start();
    let mut raw = RawClient::connect(&gateway);
    for size in [4096, 4097, 8192, 100_000, 900_000] {
        let params = "x".repeat(size);
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["{params}"]}}"#);
        raw.send(&client_frame(FIN | TEXT, request.as_bytes()));
        let (_, answer) = raw.receive().expect("an answer");
        assert!(answer.windows(size).any(|part| part == params.as_bytes()), "{size} bytes");
    }
    raw.send(&client_frame(FIN | BINARY, &vec![0; 10_000]));
    assert_eq!(raw.wait_for_close().map(|(code, _)| code), Some(1003));
}
