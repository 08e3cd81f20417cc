//! Plain HTTP on the gateway's port: `/status`, `/healthz`, `/readyz`, bytes that aren't HTTP, and 503 at the limit of
//! connections.

use crate::common::http::{GET_WS, HttpConnection, fetch, handshake_request};
use crate::common::{Gateway, wait_until};
use serde_json::Value;

/// A request line, and the status and error code of its response.
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

/// Bytes that aren't an HTTP/1.1 request, and the status and error code of their response.
#[rustfmt::skip]
const MALFORMED: &[(&[u8], u16, &str)] = &[
    (b"hello\r\n\r\n",                                                      400, "bad_request"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",                       400, "bad_request"),
    (b"\0\0\0\0\0\0\0\0",                                                   400, "bad_request"),
    (b"GET /ws\r\n\r\n",                                                    400, "bad_request"),
    (b"GET /ws HTTP/2.0\r\nHost: x\r\n\r\n",                                400, "bad_request"),
    // A client of HTTP/2 can't parse the response, but its user can read it.
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",                                    400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost : x\r\n\r\n",                               400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nno colon\r\n\r\n",                               400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost: x\0y\r\n\r\n",                             400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost: x\r\nX: a\r\n folded\r\n\r\n",             400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",     400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",        400, "bad_request"),
    (b"GET /ws HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "bad_request"),
];

#[test]
fn plain_request_is_answered_with_json() {
    let gateway = Gateway::start("");
    for (line, status, code) in REQUESTS {
        let response = fetch(&gateway, format!("{line}\r\nHost: x\r\n\r\n"));
        assert_eq!(response.status, *status, "{line}: {response:?}");
        response.assert_json(line);
        assert_eq!(response.body.is_empty(), line.starts_with("HEAD "), "{line}: {response:?}");
        assert!(response.header("content-length").is_some_and(|length| length != "0"), "{line}: {response:?}");
        if !code.is_empty() {
            assert_eq!(response.error_code(), *code, "{line}");
        }
        assert_eq!(response.header("allow"), (*status == 405).then_some("GET, HEAD"), "{line}");
    }
    assert_eq!(fetch(&gateway, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").body.trim_end(), r#"{"status":"ok"}"#);
    assert_eq!(fetch(&gateway, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").body.trim_end(), r#"{"status":"ready"}"#);
    let without_host = fetch(&gateway, "GET /healthz HTTP/1.1\r\n\r\n");
    assert_eq!((without_host.status, without_host.error_code()), (400, "bad_request".to_owned()));
    let failed = &gateway.status()["handshakes"]["failed"];
    assert!(failed.as_object().unwrap().values().all(|count| count == 0), "counted as a handshake: {failed}");
}

#[test]
fn malformed_request_is_answered_closed_and_counted() {
    let gateway = Gateway::start("");
    let many = format!("GET /status HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101));
    let long = format!("GET /status?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20_000));
    let longest = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000));
    let large = [&many, &long, &longest].map(|request| (request.as_bytes(), 431, "header_too_large"));
    for (request, status, code) in MALFORMED.iter().copied().chain(large) {
        let start = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        let mut connection = HttpConnection::open(&gateway);
        connection.send(request);
        let response = connection.receive(true);
        assert_eq!(response.status, status, "{start:?}: {response:?}");
        assert!(!(response.body.is_empty() && start.starts_with("PRI ")), "{response:?}");
        if !response.body.is_empty() {
            // The gateway's own response; hyper's, to most of what isn't HTTP/1.1, have no body.
            response.assert_json(&start);
            assert_eq!(response.error_code(), code, "{start:?}");
        }
        assert_eq!(response.header("connection"), Some("close"), "{start:?}: {response:?}");
        assert_eq!(connection.read_to_end(), "", "{start:?}");
    }
    gateway.wait_for_status("all counted", |status| {
        let failed = &status["handshakes"]["failed"];
        failed["bad_request"] == MALFORMED.len() && failed["header_too_large"] == 3
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start("");
    let mut connection = HttpConnection::open(&gateway);
    let plain = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
    let lines = ["GET /healthz", "HEAD /status", "GET /nowhere", "POST /status", "GET /status", "GET /readyz"];
    for _ in 0..2 {
        connection.send(lines.map(plain).concat());
        for (line, status) in lines.iter().zip([200, 200, 404, 405, 200, 200]) {
            let response = connection.receive(!line.starts_with("HEAD"));
            assert_eq!(response.status, status, "{line}: {response:?}");
            assert_eq!(response.header("connection"), None, "{line}: {response:?}");
        }
    }
    connection.send(plain("GET /healthz") + &handshake_request(GET_WS, "", ""));
    assert_eq!(connection.receive(true).body.trim_end(), r#"{"status":"ok"}"#);
    assert_eq!(connection.receive(false).status, 101);
    gateway.wait_for_clients(1);
}

#[test]
fn connection_above_the_limit_gets_503_and_status_is_still_served() {
    let gateway = Gateway::start("[limits]\nmax_connections = 2");
    let (mut first, second) = (gateway.connect(), gateway.connect());
    gateway.wait_for_clients(2);
    let response = fetch(&gateway, handshake_request(GET_WS, "", ""));
    response.assert_json("the third client");
    assert_eq!((response.status, response.error_code().as_str()), (503, "full"), "{response:?}");
    assert_eq!(response.header("retry-after"), Some("5"), "{response:?}");
    let response = fetch(&gateway, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(response.status, 200, "{response:?}");
    let status: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(status["clients"]["total_connections"], 2);
    assert_eq!(status["handshakes"]["failed"]["full"], 1);
    assert_eq!(first.call("gateway.ping")["result"], "pong");
    drop(second);
    wait_until("a free slot", || fetch(&gateway, handshake_request(GET_WS, "", "")).status == 101);
}

/// 32 connections above the limit may still send a request; any further one gets a 503 at once.
#[test]
fn connections_far_above_the_limit_get_503_without_a_request() {
    let gateway = Gateway::start("[limits]\nmax_connections = 1\n[handshake]\ntimeout = \"1m\"");
    let client = gateway.connect();
    let waiting: Vec<HttpConnection> = (0..32).map(|_| HttpConnection::open(&gateway)).collect();
    let mut last = HttpConnection::open(&gateway);
    let response = last.receive(true);
    response.assert_json("the last connection");
    assert_eq!((response.status, response.error_code().as_str()), (503, "full"), "{response:?}");
    assert_eq!((response.header("retry-after"), response.header("connection")), (Some("5"), Some("close")));
    assert_eq!(last.read_to_end(), "");
    drop((waiting, client));
}

/// A kept-alive connection needs no credentials, so only few of them may occupy slots.
#[test]
fn kept_alive_connections_leave_slots_for_clients() {
    let gateway = Gateway::start("[limits]\nmax_connections = 20");
    let mut kept: Vec<HttpConnection> = Vec::new();
    for _ in 0..60 {
        let mut connection = HttpConnection::open(&gateway);
        connection.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = connection.receive(true);
        assert_eq!(response.status, 200, "{response:?}");
        if response.header("connection").is_none() {
            kept.push(connection);
        }
    }
    assert_eq!(kept.len(), 5, "a quarter of the slots");
    // A connection that becomes a client no longer counts as kept alive.
    let mut client = kept.remove(0);
    client.send(handshake_request(GET_WS, "", ""));
    assert_eq!(client.receive(false).status, 101);
    wait_until("another connection is kept alive", || {
        let mut next = HttpConnection::open(&gateway);
        next.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        next.receive(true).header("connection").is_none()
    });
    wait_until("a free slot for a client", || fetch(&gateway, handshake_request(GET_WS, "", "")).status == 101);
}
