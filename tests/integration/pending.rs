//! Connections whose first request hasn't arrived: how many there may be, and that they keep nobody out.

use crate::common::http::{GET_WS, HttpConnection, fetch, handshake_request, request};
use crate::common::raw_client::RawClient;
use crate::common::test_gateway::TestGateway;
use crate::common::{Gateway, wait_for, wait_until};
use serde_json::json;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Waits until the gateway has closed a connection that it sent nothing on.
fn wait_for_end(stream: &mut TcpStream) {
    let read = stream.read(&mut [0]);
    assert!(matches!(read, Ok(0)) || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

#[test]
fn oldest_connections_without_a_request_are_dropped_when_there_are_too_many() {
    let gateway = Gateway::start("[handshake]\nmax_in_progress = 4\ntimeout = \"1m\"");
    let mut first = gateway.tcp();
    let mut second = gateway.tcp();
    // A request that isn't complete doesn't count as one.
    second.write_all(b"GET /ws HTTP/1.1\r\n").unwrap();
    gateway.wait_for_status("two are in progress", |status| status["handshakes"]["in_progress"] == 2);
    let mut others: Vec<_> = (0..4).map(|_| gateway.tcp()).collect();
    wait_for_end(&mut first);
    wait_for_end(&mut second);
    let status = gateway
        .wait_for_status("two are counted", |status| status["handshakes"]["failed"]["displaced"].as_u64() >= Some(2));
    assert_eq!(status["handshakes"]["timed_out"]["nothing_sent"], 0, "{status}");
    gateway.wait_for_line("the reason", |line| line.contains("handshake refused") && line.ends_with("cause=displaced"));
    // The youngest is still served.
    let last = others.pop().unwrap();
    RawClient::upgrade(last, "");
}

#[test]
fn silent_connections_up_to_the_limit_keep_no_client_out() {
    let gateway = Gateway::start("[limits]\nmax_connections = 8\n[handshake]\nmax_in_progress = 100\ntimeout = \"1m\"");
    let mut client = gateway.connect();
    let _silent: Vec<_> = (0..39).map(|_| gateway.tcp()).collect();
    let _clients: Vec<_> = (0..7)
        .map(|_| {
            // A silent connection's slot may take a moment to become free.
            wait_for("a slot for a client", || {
                let mut connection = HttpConnection::open(&gateway);
                connection.send(handshake_request(GET_WS, "", ""));
                (connection.receive(false).status == 101).then_some(connection)
            })
        })
        .collect();
    assert_eq!(client.call("gateway.ping")["result"], "pong");
    gateway.wait_for_clients(8);
    // Only clients fill all slots.
    let response = fetch(&gateway, handshake_request(GET_WS, "", ""));
    assert_eq!((response.status, &*response.error_code()), (503, "full"));
}

#[test]
fn refused_connections_that_stay_open_keep_no_client_out() {
    let gateway = Gateway::start("[limits]\nmax_connections = 4\nclose_timeout = \"1m\"");
    let _refused: Vec<_> = (0..4)
        .map(|_| {
            let mut connection = HttpConnection::open(&gateway);
            connection.send(request("GET /ws", None, "", ""));
            assert_eq!(connection.receive(true).status, 426);
            connection
        })
        .collect();
    for _ in 0..4 {
        assert_eq!(gateway.connect().call("gateway.ping")["result"], "pong");
    }
}

const OPS: &str = "[ops]\nlisten = \"127.0.0.1:0\"";
/// Connections that are accepted at `ops.listen`.
const OPS_SLOTS: usize = 32;

/// Connects to the address of `ops.listen`.
fn connect_to_ops(gateway: &Gateway) -> HttpConnection {
    let line = gateway.wait_for_line("the address", |line| line.contains("listening role=admin"));
    let (_, addr) = line.rsplit_once("addr=").expect("an address");
    HttpConnection { reader: BufReader::new(TcpStream::connect(addr).unwrap()) }
}

#[test]
fn operators_have_slots_of_their_own() {
    let gateway = Gateway::start(&format!("[limits]\nmax_connections = 4\n{OPS}"));
    let _clients: Vec<_> = (0..4).map(|_| gateway.connect()).collect();
    let _overflow: Vec<_> = (0..40).map(|_| gateway.tcp()).collect();
    let mut connection = connect_to_ops(&gateway);
    connection.send(request("GET /clients", None, "", ""));
    assert_eq!(connection.receive(true).status, 200);
}

#[test]
fn operators_connections_that_wait_for_their_peers_keep_no_operator_out() {
    let gateway = Gateway::start(OPS);
    let silent = || connect_to_ops(&gateway);
    let idle = || {
        let mut connection = connect_to_ops(&gateway);
        connection.send(request("GET /healthz", None, "", ""));
        assert_eq!(connection.receive(true).status, 200);
        connection
    };
    let with_unfinished_body = || {
        let mut connection = connect_to_ops(&gateway);
        connection.send(request("POST /topics/x/messages", None, "", "{}").replace("{}", "{"));
        connection
    };
    let refused = || {
        let mut connection = connect_to_ops(&gateway);
        connection.send("GET /clients HTTP/1.1\r\n\r\n");
        assert_eq!(connection.receive(true).status, 400);
        connection
    };
    let mut waiting = Vec::new();
    for open in [&silent as &dyn Fn() -> HttpConnection, &idle, &with_unfinished_body, &refused] {
        waiting.extend((0..OPS_SLOTS).map(|_| open()));
        let mut operator = connect_to_ops(&gateway);
        operator.send(request("GET /clients", None, "", ""));
        assert_eq!(operator.receive(true).status, 200);
    }
    wait_for_end(waiting[0].reader.get_mut());
}

#[test]
fn operators_calls_in_flight_keep_their_slots() {
    let gateway = TestGateway::start(&[("alice", "operator", "*"), ("kitchen-pi", "node", "")], OPS);
    let mut node = gateway.connect("kitchen-pi");
    let bearer = gateway.bearer("alice");
    let mut calls: Vec<_> = (0..OPS_SLOTS)
        .map(|_| {
            let mut connection = connect_to_ops(&gateway);
            connection.send(request("POST /nodes/node:kitchen-pi/invoke", Some(&bearer), "", r#"{"method":"x"}"#));
            (connection, node.next_message())
        })
        .collect();
    let refused = connect_to_ops(&gateway).receive(true);
    assert_eq!((refused.status, &*refused.error_code()), (503, "full"));
    for (connection, call) in &mut calls {
        node.respond(call, json!(1));
        let response = connection.receive(true);
        assert_eq!((response.status, response.body.trim()), (200, "1"));
    }
}

#[test]
fn accepts_are_spread_over_time() {
    let gateway = Gateway::start("[handshake]\nmax_per_second = 50");
    let started = Instant::now();
    // The kernel accepts them at once.
    let _connections: Vec<_> = (0..60).map(|_| gateway.tcp()).collect();
    let accepted = |status: &serde_json::Value| status["accepted_total"].as_u64();
    wait_until("all are accepted", || accepted(&gateway.status()) >= Some(60));
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}
