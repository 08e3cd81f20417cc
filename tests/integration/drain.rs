//! Shutdown: paced, bounded by its timeout, aborted by a second signal.

use crate::common::Gateway;
use crate::common::http::{HttpConnection, exchange};
use crate::common::raw_client::RawClient;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;
use test_support::frames::{CLOSE, FIN};

#[test]
fn drain_closes_responsive_clients_long_before_its_timeout() {
    const CLIENTS: usize = 50;
    let gateway = Gateway::start("[limits]\nclose_timeout = \"20s\"");
    let readers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = gateway.connect();
            thread::spawn(move || client.wait_for_close())
        })
        .collect();
    gateway.wait_for_clients(CLIENTS as u64);
    let start = Instant::now();
    let (status, log) = gateway.stop();
    // The drain timeout is 20 s.
    assert!(status.success() && start.elapsed().as_secs() < 15, "{status} {:?}", start.elapsed());
    for reader in readers {
        assert_eq!(reader.join().unwrap(), (1012, "draining".to_owned()));
    }
    assert_eq!(log.iter().filter(|line| line.contains(" disconnected conn_id=")).count(), CLIENTS);
    assert!(log.last().is_some_and(|line| line.contains("closed=50")), "{log:#?}");
}

#[test]
fn drain_aborts_unresponsive_clients_at_its_timeout() {
    let settings = "[limits]\nclose_timeout = \"1h\"\n[shutdown]\ndrain_timeout = \"10s\"\n";
    let mut gateway = Gateway::start(settings);
    let _silent: Vec<_> = (0..3).map(|_| RawClient::connect(&gateway)).collect();
    let mut responsive = gateway.connect();
    gateway.wait_for_clients(4);
    gateway.signal("TERM");
    assert_eq!(responsive.wait_for_close().0, 1012);
    assert_eq!(gateway.wait().code(), Some(0));
    assert_stopped(&gateway, 1, 3);
    let lines = gateway.wait_for_disconnects(4);
    assert!(lines.len() == 4 && lines.iter().all(|line| line.contains(" reason=draining code=1012 ")), "{lines:?}");
}

/// The time in a notification `gateway.draining`.
fn reconnect_after(message: &[u8]) -> u64 {
    let message: Value = serde_json::from_slice(message).expect("JSON");
    assert_eq!(
        (&message["jsonrpc"], &message["method"], message.get("id")),
        (&"2.0".into(), &"gateway.draining".into(), None)
    );
    message["params"]["reconnect_after_ms"].as_u64().expect("milliseconds")
}

#[test]
fn each_client_is_told_once_when_to_reconnect_before_its_close_frame() {
    const CLIENTS: usize = 200;
    let gateway = Gateway::start("[shutdown]\ndrain_timeout = \"10s\"");
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| RawClient::connect(&gateway)).collect();
    gateway.wait_for_clients(CLIENTS as u64);
    gateway.signal("TERM");
    for client in &mut clients {
        let after = reconnect_after(&client.receive().expect("a notification").1);
        // A second for the restart, 200 ms for the drain, and 200 ms for 200 clients.
        assert!((1000..=1400).contains(&after), "{after}");
        let (first, payload) = client.receive().expect("a close frame");
        assert_eq!((first, &payload[..2]), (FIN | CLOSE, &1012_u16.to_be_bytes()[..]));
    }
}

/// Checks the counts of closed and aborted clients in the last log line.
fn assert_stopped(gateway: &Gateway, closed: usize, aborted: usize) {
    let line = gateway.wait_for_line("the counts", |line| line.contains(" stopped closed="));
    let counts: Vec<_> = line.split('=').skip(1).filter_map(|text| text.split(' ').next()).collect();
    assert_eq!(counts, [closed.to_string(), aborted.to_string()], "{line}");
}

#[test]
fn second_signal_aborts_the_drain() {
    for (first, second) in [("INT", "TERM"), ("QUIT", "INT"), ("TERM", "QUIT")] {
        let mut gateway = Gateway::start("[limits]\nclose_timeout = \"1h\"\n[shutdown]\ndrain_timeout = \"1h\"\n");
        let mut silent = RawClient::connect(&gateway);
        gateway.wait_for_clients(1);
        gateway.signal(first);
        gateway.wait_for_line("the drain", |line| line.ends_with(" mode=drain"));
        // The client receives the notification and the close frame, and doesn't answer it.
        assert!(reconnect_after(&silent.receive().unwrap().1) >= 1000);
        assert_eq!(silent.receive().unwrap().1[..2], 1012_u16.to_be_bytes());
        gateway.signal(second);
        assert_eq!(gateway.wait().code(), Some(0));
        assert_stopped(&gateway, 0, 1);
    }
}

#[test]
fn signal_without_a_function_is_logged_and_clients_stay() {
    let gateway = Gateway::start("");
    let mut client = gateway.connect();
    for signal in ["USR1", "USR2"] {
        gateway.signal(signal);
        let end = format!(" signal is ignored signal={signal}");
        let line = gateway.wait_for_line(signal, |line| line.ends_with(&end));
        assert!(line.starts_with("WARN "), "{line}");
        assert_eq!(client.call("gateway.ping")["result"], "pong", "{signal}");
    }
}

#[test]
fn draining_gateway_answers_open_connections_and_closes_clients_whose_handshake_was_under_way() {
    let mut gateway = Gateway::start("[handshake]\ntimeout = \"1m\"\n[limits]\nclose_timeout = \"1h\"\n");
    let mut client = RawClient::connect(&gateway);
    gateway.wait_for_clients(1);
    let mut silent = gateway.tcp();
    let mut half_sent = gateway.tcp();
    half_sent.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").unwrap();
    let mut upgrading = gateway.tcp();
    upgrading.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n").unwrap();
    let mut kept_alive = HttpConnection::open(&gateway);
    kept_alive.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(kept_alive.receive(true).status, 200);
    gateway.wait_for_status("three handshakes", |status| status["handshakes"]["in_progress"] == 3);

    gateway.signal("TERM");
    reconnect_after(&client.receive().unwrap().1);
    assert_eq!(client.receive().unwrap().1[..2], 1012_u16.to_be_bytes());
    // A connection without a request is closed after a second; one with half a request is answered.
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    let (head, body) = exchange(&mut half_sent, "\r\n");
    assert!(head.starts_with("HTTP/1.1 503 ") && body.contains(r#""code":"draining""#), "{head} {body}");
    let rest = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // A client that was accepted before the drain learns from a close code that it may come back.
    upgrading.write_all(rest.as_bytes()).unwrap();
    let mut upgraded = RawClient::read_101(upgrading);
    assert!(reconnect_after(&upgraded.receive().unwrap().1) >= 1000);
    assert_eq!(upgraded.receive().unwrap().1[..2], 1012_u16.to_be_bytes());
    assert!(TcpStream::connect(gateway.addr()).is_err(), "the listener is closed");
    assert!(!gateway.unix_path().exists(), "the Unix socket is removed");

    // A monitoring connection is served until the last client has disconnected.
    for (path, status, start) in [("/readyz", 503, ""), ("/status", 200, r#"{"status":"draining","#)] {
        kept_alive.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let response = kept_alive.receive(true);
        assert!(response.status == status && response.body.starts_with(start), "{path}: {response:?}");
    }
    drop((client, upgraded));
    assert_eq!(kept_alive.read_to_end(), "");
    assert!(gateway.wait().success());
    assert_stopped(&gateway, 0, 2);
}
