//! Connections of the admin API: bodies, keep-alive, half-closed connections, calls that wait for a node.

use crate::common::Gateway;
use crate::common::http::{HttpConnection, fetch, request};
use crate::common::test_gateway::TestGateway;
use serde_json::json;
use std::io::{Read, Write};
use std::net::Shutdown;

const CREDENTIALS: &[(&str, &str, &str)] = &[("alice", "operator", "*"), ("kitchen-pi", "node", "")];
const INVOKE: &str = "POST /nodes/node:kitchen-pi/invoke";

#[test]
fn call_of_a_disconnected_http_client_ends_with_the_answer_or_the_timeout() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut node = gateway.connect("kitchen-pi");
    for (timeout, end) in [("3600", "answered"), ("0.01", "timeout")] {
        let body = format!(r#"{{"method":"x","timeout":{timeout}}}"#);
        let mut caller = gateway.tcp();
        caller.write_all(request(INVOKE, Some(&gateway.bearer("alice")), "", &body).as_bytes()).unwrap();
        let call = node.next_message();
        drop(caller);
        if end == "answered" {
            node.respond(&call, json!(1));
        }
        gateway.wait_for_status("the end of the call", |status| {
            status["calls"]["ended"][end] == 1 && status["calls"]["in_flight"] == 0
        });
    }
}

/// Sends a request and shuts down the sending direction at once, as `nc -N` does.
fn fetch_half_closed(gateway: &Gateway, text: String) -> String {
    let mut stream = gateway.tcp();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn half_closed_connection_still_gets_its_response() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let bearer = gateway.bearer("alice");
    let fetch = |line: &str, body: &str| fetch_half_closed(&gateway, request(line, Some(&bearer), "", body));
    for (line, body) in
        [("GET /status", ""), ("GET /nodes", ""), ("GET /healthz", ""), ("POST /topics/x/messages", r#"{"data":1}"#)]
    {
        // The FIN arrives sometimes with the request, sometimes after it.
        for _ in 0..50 {
            let response = fetch(line, body);
            assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("}\n"), "{line}: {response}");
        }
    }
    let refused = fetch_half_closed(&gateway, request("GET /ws", Some(&bearer), "", ""));
    assert!(refused.starts_with("HTTP/1.1 426 "), "{refused}");
    let status = gateway.status();
    assert_eq!(status["handshakes"]["failed"]["disconnected"], 0, "{status}");
    let half = request("POST /topics/x/messages", Some(&bearer), "", "{}").replace("{}", "{");
    let incomplete = fetch_half_closed(&gateway, half);
    assert!(incomplete.starts_with("HTTP/1.1 400 "), "{incomplete}");
}

#[test]
fn drain_fails_calls_in_flight_and_rejects_new_ones() {
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nclose_timeout = \"1h\"");
    let mut node = gateway.connect("kitchen-pi");
    let invoke = request(INVOKE, Some(&gateway.bearer("alice")), "", r#"{"method":"x"}"#);
    let mut waiting = HttpConnection::open(&gateway);
    waiting.send(&invoke);
    node.next_message();
    let mut kept_alive = HttpConnection::open(&gateway);
    kept_alive.send(request("GET /clients", Some(&gateway.bearer("alice")), "", ""));
    assert_eq!(kept_alive.receive(true).status, 200);
    gateway.signal("TERM");
    gateway.wait_for_line("the drain", |line| line.ends_with(" mode=drain"));
    // The test doesn't read from the node any more, so its close handshake stays incomplete and the drain goes on.
    kept_alive.send(&invoke);
    for connection in [&mut waiting, &mut kept_alive] {
        let response = connection.receive(true);
        assert_eq!((response.status, response.error_code().as_str()), (503, "draining"));
    }
}

#[test]
fn body_may_be_chunked_or_follow_100_continue_and_times_out_if_not_sent() {
    let gateway = TestGateway::start(CREDENTIALS, "[handshake]\ntimeout = \"2s\"");
    let bearer = gateway.bearer("alice");
    let line = "POST /topics/x/messages";
    // The body is never sent.
    let text = request(line, Some(&bearer), "", "{}").replace("\r\n\r\n{}", "\r\n\r\n");
    assert_eq!(fetch(&gateway, text).error_code(), "body_timeout");
    // From here on with the default timeout.
    let gateway = TestGateway::start(CREDENTIALS, "");
    let bearer = gateway.bearer("alice");
    let chunked =
        request(line, Some(&bearer), "Transfer-Encoding: chunked\r\n", "").replace("Content-Length: 0\r\n", "");
    let response = fetch(&gateway, format!("{chunked}5\r\n{{\"dat\r\n5\r\na\":1}}\r\n0\r\n\r\n"));
    assert_eq!((response.status, response.body.trim()), (200, r#"{"queued":0}"#));
    // Some clients send an empty body in chunks with GET, HEAD and DELETE too.
    for (method, status, body) in [("GET", 200, ""), ("HEAD", 200, ""), ("DELETE", 200, ""), ("GET", 400, "1\r\n{\r\n")]
    {
        let text = chunked.replace(line, &format!("{method} /clients?role=node"));
        let mut connection = HttpConnection::open(&gateway);
        for _ in 0..1 + u32::from(status == 200) {
            connection.send(format!("{text}{body}0\r\n\r\n"));
            let response = connection.receive(method != "HEAD");
            assert_eq!(response.status, status, "{method}: {response:?}");
        }
    }
    let response = fetch(&gateway, format!("{chunked}x\r\n"));
    assert_eq!((response.status, response.error_code()), (400, "bad_request".to_owned()));
    // curl waits (for up to a second) for 100 Continue before it sends a large body.
    let mut connection = HttpConnection::open(&gateway);
    let head = request(line, Some(&bearer), "Expect: 100-continue\r\n", r#"{"data":1}"#);
    let (head, body) = head.split_at(head.find("\r\n\r\n").unwrap() + 4);
    connection.send(head);
    assert_eq!(connection.receive(false).head, "HTTP/1.1 100 Continue\r\n\r\n");
    connection.send(body);
    assert_eq!(connection.receive(true).status, 200);
}
