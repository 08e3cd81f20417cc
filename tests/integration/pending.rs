//! Connections whose first request hasn't arrived: how many there may be, and that they keep nobody out.

use crate::common::http::{GET_WS, HttpConnection, fetch, handshake_request, request};
use crate::common::raw_client::RawClient;
use crate::common::{Gateway, wait_for, wait_until};
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
            // A silent connection's place may take a moment to become free.
            wait_for("a place for a client", || {
                let mut connection = HttpConnection::open(&gateway);
                connection.send(handshake_request(GET_WS, "", ""));
                (connection.receive(false).status == 101).then_some(connection)
            })
        })
        .collect();
    assert_eq!(client.call("gateway.ping")["result"], "pong");
    gateway.wait_for_clients(8);
    // Only clients fill all places.
    let response = fetch(&gateway, handshake_request(GET_WS, "", ""));
    assert_eq!((response.status, &*response.error_code()), (503, "full"));
}

#[test]
fn operators_have_places_of_their_own() {
    let gateway = Gateway::start("[limits]\nmax_connections = 4\n[ops]\nlisten = \"127.0.0.1:0\"");
    let _clients: Vec<_> = (0..4).map(|_| gateway.connect()).collect();
    let _overflow: Vec<_> = (0..40).map(|_| gateway.tcp()).collect();
    let line = gateway.wait_for_line("the address", |line| line.contains("listening role=admin"));
    let (_, addr) = line.rsplit_once("addr=").expect("an address");
    let mut connection = HttpConnection { reader: BufReader::new(TcpStream::connect(addr).unwrap()) };
    connection.send(request("GET /clients", None, "", ""));
    assert_eq!(connection.receive(true).status, 200);
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
