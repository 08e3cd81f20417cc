//! Plain HTTP on the same port: `/status`, `/healthz`, `/readyz`, bytes that are no HTTP, and a full gateway.

use crate::common::{Gateway, wait_until};
use crate::raw::{Connection, WS, ask, handshake};
use serde_json::Value;

/// A request line, and what must come of it.
#[rustfmt::skip]
const REQUESTS: &[(&str, u16, &str)] = &[
    ("GET /status HTTP/1.1",     200, ""),
    ("GET /status?x=1 HTTP/1.1", 200, ""),
    ("GET /healthz HTTP/1.1",    200, ""),
    ("GET /readyz HTTP/1.1",     200, ""),
    ("HEAD /status HTTP/1.1",    200, ""),
    ("HEAD /healthz HTTP/1.1",   200, ""),
    ("HEAD /readyz HTTP/1.1",    200, ""),
    ("POST /status HTTP/1.1",    405, "method_not_allowed"),
    ("PUT /status HTTP/1.1",     405, "method_not_allowed"),
    ("DELETE /healthz HTTP/1.1", 405, "method_not_allowed"),
    ("POST /readyz HTTP/1.1",    405, "method_not_allowed"),
    ("GET / HTTP/1.1",           404, "not_found"),
    ("GET /statuss HTTP/1.1",    404, "not_found"),
    ("POST /nowhere HTTP/1.1",   404, "not_found"),
    ("HEAD /nowhere HTTP/1.1",   404, ""),
    ("OPTIONS * HTTP/1.1",       404, "not_found"),
    ("GET /status HTTP/1.0",     200, ""),
];

/// Bytes that are no HTTP/1.1 request, or too much of one.
#[rustfmt::skip]
const GARBAGE: &[(&[u8], u16, &str)] = &[
    (b"hello\r\n\r\n",                                                      400, "bad_request"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",                       400, "bad_request"),
    (b"\0\0\0\0\0\0\0\0",                                                   400, "bad_request"),
    (b"GET /ws\r\n\r\n",                                                    400, "bad_request"),
    (b"GET /ws HTTP/2.0\r\nHost: x\r\n\r\n",                                400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost : x\r\n\r\n",                               400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nno colon\r\n\r\n",                               400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost: x\0y\r\n\r\n",                             400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost: x\r\nX: a\r\n folded\r\n\r\n",             400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",     400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",        400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "bad_request"),
];

#[test]
fn plain_requests_get_plain_answers() {
    let gateway = Gateway::start("");
    for (line, status, code) in REQUESTS {
        let answer = ask(&gateway, format!("{line}\r\nHost: x\r\n\r\n"));
        assert_eq!(answer.status, *status, "{line}: {answer:?}");
        answer.check(line);
        assert_eq!(answer.body.is_empty(), line.starts_with("HEAD "), "{line}: {answer:?}");
        assert!(answer.header("content-length").is_some_and(|length| length != "0"), "{line}: {answer:?}");
        if !code.is_empty() {
            assert_eq!(answer.code(), *code, "{line}");
        }
        assert_eq!(answer.header("allow"), (*status == 405).then_some("GET, HEAD"), "{line}");
    }
    assert_eq!(ask(&gateway, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").body.trim_end(), r#"{"status":"ok"}"#);
    assert_eq!(ask(&gateway, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").body.trim_end(), r#"{"status":"ready"}"#);
    let nameless = ask(&gateway, "GET /healthz HTTP/1.1\r\n\r\n");
    assert_eq!((nameless.status, nameless.code()), (400, "bad_request".to_owned()));
    let failed = &gateway.status()["handshakes"]["failed"];
    assert!(failed.as_object().unwrap().values().all(|count| count == 0), "none of it is a handshake: {failed}");
}

#[test]
fn garbage_is_answered_and_counted() {
    let gateway = Gateway::start("");
    let many = format!("GET /status HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101));
    let long = format!("GET /status?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20_000));
    let longest = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000));
    let large = [&many, &long, &longest].map(|request| (request.as_bytes(), 431, "header_too_large"));
    for (request, status, code) in GARBAGE.iter().copied().chain(large) {
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        let mut connection = Connection::open(&gateway);
        connection.send(request);
        let answer = connection.receive(true);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{shown:?}: {answer:?}");
        answer.check(&shown);
        assert_eq!(answer.header("connection"), Some("close"), "{shown:?}: {answer:?}");
        assert_eq!(connection.rest(), "", "{shown:?}");
    }
    gateway.wait_for_status("all are counted", |status| {
        let failed = &status["handshakes"]["failed"];
        failed["bad_request"] == GARBAGE.len() && failed["header_too_large"] == 3
    });
}

/// A client that speaks HTTP/2 at once gets an answer that it can't read, but its user can.
#[test]
fn http_2_is_refused_with_an_answer() {
    let gateway = Gateway::start("");
    let mut connection = Connection::open(&gateway);
    connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let answer = connection.receive(true);
    assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{answer:?}");
}

/// hyper's own limit for an address, 65534 bytes, would be 414, but no header that holds such an address gets so far.
#[test]
fn the_longest_header_still_has_no_room_for_a_too_long_address() {
    let gateway = Gateway::start("[handshake]\nmax_header_bytes = 65536");
    let with_address = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(length - 1));
    assert_eq!(ask(&gateway, with_address(65_000)).status, 404);
    for length in [65_535, 65_600, 100_000] {
        let answer = ask(&gateway, with_address(length));
        assert_eq!((answer.status, answer.code().as_str()), (431, "header_too_large"), "{length}: {answer:?}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start("");
    let mut connection = Connection::open(&gateway);
    let plain = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
    let lines = ["GET /healthz", "HEAD /status", "GET /nowhere", "POST /status", "GET /status", "GET /readyz"];
    for _ in 0..2 {
        connection.send(lines.map(plain).concat());
        for (line, status) in lines.iter().zip([200, 200, 404, 405, 200, 200]) {
            let answer = connection.receive(!line.starts_with("HEAD"));
            assert_eq!(answer.status, status, "{line}: {answer:?}");
            assert_eq!(answer.header("connection"), None, "{line}: {answer:?}");
        }
    }
    connection.send(plain("GET /healthz") + &handshake(WS, "", ""));
    assert_eq!(connection.receive(true).body.trim_end(), r#"{"status":"ok"}"#);
    assert_eq!(connection.receive(false).status, 101);
    gateway.wait_for_clients(1);
}

#[test]
fn a_full_gateway_says_so_and_still_shows_its_status() {
    let gateway = Gateway::start("[limits]\nmax_connections = 2");
    let (mut first, second) = (gateway.connect(), gateway.connect());
    gateway.wait_for_clients(2);
    let answer = ask(&gateway, handshake(WS, "", ""));
    answer.check("the third client");
    assert_eq!((answer.status, answer.code().as_str()), (503, "full"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"), "{answer:?}");
    let answer = ask(&gateway, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.status, 200, "{answer:?}");
    let status: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(status["clients"]["total_connections"], 2);
    assert_eq!(status["handshakes"]["failed"]["full"], 1);
    assert_eq!(first.call("gateway.ping")["result"], "pong");
    drop(second);
    wait_until("a place is free again", || ask(&gateway, handshake(WS, "", "")).status == 101);
}

/// Beyond a handful that are still listened to, connections are told off unasked.
#[test]
fn a_crowd_at_a_full_gateway_is_turned_away() {
    let gateway = Gateway::start("[limits]\nmax_connections = 1\n[handshake]\ntimeout = \"1m\"");
    let client = gateway.connect();
    let crowd: Vec<Connection> = (0..32).map(|_| Connection::open(&gateway)).collect();
    let mut last = Connection::open(&gateway);
    let answer = last.receive(true);
    answer.check("the last one");
    assert_eq!((answer.status, answer.code().as_str()), (503, "full"), "{answer:?}");
    assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("5"), Some("close")));
    assert_eq!(last.rest(), "");
    drop((crowd, client));
}

/// Nobody needs a credential to keep a plain connection open; they are few, so that clients find a place.
#[test]
fn plain_connections_do_not_take_the_clients_places() {
    let gateway = Gateway::start("[limits]\nmax_connections = 20");
    let mut kept: Vec<Connection> = Vec::new();
    for _ in 0..60 {
        let mut connection = Connection::open(&gateway);
        connection.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = connection.receive(true);
        assert_eq!(answer.status, 200, "{answer:?}");
        if answer.header("connection").is_none() {
            kept.push(connection);
        }
    }
    assert_eq!(kept.len(), 5, "a quarter of the places");
    // One that becomes a client leaves its place among them.
    let mut client = kept.remove(0);
    client.send(handshake(WS, "", ""));
    assert_eq!(client.receive(false).status, 101);
    wait_until("another is kept in its stead", || {
        let mut next = Connection::open(&gateway);
        next.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        next.receive(true).header("connection").is_none()
    });
    wait_until("a client finds a place", || ask(&gateway, handshake(WS, "", "")).status == 101);
}
