//! Timeouts of a connection that isn't a client yet: which stage timed out, and which connections must not time out.

use crate::common::http::{GET_WS, HttpConnection, handshake_request};
use crate::common::{Gateway, wait_until};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

const SETTINGS: &str = "[handshake]\ntimeout = \"2s\"\n";

/// Waits until the gateway closes a connection without having sent anything.
fn wait_for_close(mut stream: TcpStream) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("neither the end of the stream nor a reset: {other:?}"),
    }
}

fn timed_out(status: &Value, stage: &str) -> u64 {
    status["handshakes"]["timed_out"][stage].as_u64().expect("a count")
}

/// Checks that one peer's timeout is counted and logged exactly once, for this stage only.
fn assert_timed_out(gateway: &Gateway, stage: &str, peer: SocketAddr) {
    gateway.wait_for_status(stage, |status| timed_out(status, stage) == 1);
    gateway.wait_for_line(stage, |line| line.ends_with(&format!(" stage={stage}")));
    let status = gateway.wait_for_status("no handshake", |status| status["handshakes"]["in_progress"] == 0);
    let total: u64 =
        ["nothing_sent", "header_unfinished", "response_not_read"].map(|stage| timed_out(&status, stage)).iter().sum();
    assert_eq!(total, 1, "{status:#}");
    assert_eq!(status["handshakes"]["completed"], 0, "{status:#}");
    let lines: Vec<String> = gateway.log().into_iter().filter(|line| line.contains("timed out")).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].ends_with(&format!("handshake timed out remote_addr={peer} stage={stage}")), "{lines:#?}");
}

#[test]
fn peer_without_a_complete_header_times_out() {
    for (part, stage) in [
        ("", "nothing_sent"),
        ("G", "header_unfinished"),
        ("GET /ws HTTP/1.1\r\nHost: gw.example\r\nUpgr", "header_unfinished"),
        ("\r\n", "header_unfinished"),
    ] {
        let gateway = Gateway::start(SETTINGS);
        let descriptors = gateway.open_descriptors();
        let mut stream = gateway.tcp();
        let peer = stream.local_addr().unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        wait_for_close(stream);
        assert_timed_out(&gateway, stage, peer);
        gateway.wait_for_descriptors(&descriptors);
    }
}

/// Bytes that are received don't extend the deadline.
#[test]
fn peer_that_sends_its_header_byte_by_byte_times_out() {
    let gateway = Gateway::start(SETTINGS);
    let stream = gateway.tcp();
    let peer = stream.local_addr().unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let endless = handshake_request(GET_WS, "", "").trim_end().to_owned() + &"x".repeat(10_000);
        let mut bytes = endless.bytes();
        while writer.write_all(&[bytes.next().expect("the gateway closes the connection earlier")]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    wait_for_close(stream);
    assert_timed_out(&gateway, "header_unfinished", peer);
    sender.join().unwrap();
}

/// A Unix socket buffers a fixed number of unread responses. Connection number N asks for N plain responses and then
/// for the upgrade: with few of them the 101 still fits, with many the gateway blocks earlier, and for some N it is
/// the 101 that doesn't fit.
#[test]
fn peer_that_never_reads_its_101_times_out() {
    const STAGE: &str = "response_not_read";
    let gateway = Gateway::start(&format!("{SETTINGS}idle_timeout = \"1m\"\n"));
    let descriptors = gateway.open_descriptors();
    let plain = "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut peers = Vec::new();
    for count in 0..250 {
        let mut peer = UnixStream::connect(gateway.unix_path()).unwrap();
        peer.write_all((plain.repeat(count) + &handshake_request(GET_WS, "", "")).as_bytes()).unwrap();
        peers.push(peer);
    }
    let status = gateway.wait_for_status("an unread 101", |status| timed_out(status, STAGE) > 0);
    assert!(status["handshakes"]["completed"].as_u64().is_some_and(|completed| completed > 0), "{status:#}");
    let logged = || gateway.log().into_iter().filter(|line| line.contains("timed out")).collect::<Vec<_>>();
    wait_until("one log line for each", || logged().len() as u64 == timed_out(&gateway.status(), STAGE));
    let end = format!("handshake timed out remote_addr=unix stage={STAGE}");
    assert!(logged().iter().all(|line| line.ends_with(&end)), "{:#?}", logged());
    let status = gateway.status();
    assert_eq!((timed_out(&status, "nothing_sent"), timed_out(&status, "header_unfinished")), (0, 0), "{status:#}");
    drop(peers);
    gateway.wait_for_descriptors(&descriptors);
}

#[test]
fn kept_alive_connection_outlives_the_handshake_timeout() {
    let gateway = Gateway::start(&format!("{SETTINGS}idle_timeout = \"1m\"\n"));
    let mut connection = HttpConnection::open(&gateway);
    let fetch = |connection: &mut HttpConnection| {
        connection.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        connection.receive(true).status
    };
    for later in 1..=2 {
        assert_eq!(fetch(&mut connection), 200);
        wait_for_close(gateway.tcp());
        gateway.wait_for_status("a later connection's timeout", |status| timed_out(status, "nothing_sent") == later);
    }
    connection.send(handshake_request(GET_WS, "", ""));
    assert_eq!(connection.receive(true).status, 101, "it can still be upgraded");
}

/// The idle timeout starts with the last response and doesn't count as a handshake's.
#[test]
fn kept_alive_connection_is_closed_after_the_idle_timeout() {
    let gateway = Gateway::start("[handshake]\ntimeout = \"2s\"\nidle_timeout = \"3s\"\n");
    let mut connection = HttpConnection::open(&gateway);
    let start = Instant::now();
    connection.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.receive(true).status, 200);
    assert_eq!(connection.read_to_end(), "");
    assert!(start.elapsed() >= Duration::from_secs(3), "closed after {:?}", start.elapsed());
    let status = gateway.status();
    assert!(status["handshakes"]["timed_out"].as_object().unwrap().values().all(|count| count == 0), "{status:#}");
    assert!(!gateway.log().iter().any(|line| line.contains("timed out")), "{:#?}", gateway.log());
}
