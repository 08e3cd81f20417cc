//! Time limits before a connection is a client: which step took too long, and what lives on.

use crate::common::{Client, Gateway, wait_until};
use crate::raw::{Connection, WS, handshake};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

const SETTINGS: &str = "[handshake]\ntimeout = \"2s\"\n";

/// Waits until the gateway has dropped a connection over which nothing comes.
fn wait_for_end(mut stream: TcpStream) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("neither an end nor a reset: {other:?}"),
    }
}

fn timed_out(status: &Value, step: &str) -> u64 {
    status["handshakes"]["timed_out"][step].as_u64().expect("a count")
}

/// A gateway, and the descriptors that it has open while its status is read.
fn start(settings: &str) -> (Gateway, Value) {
    let gateway = Gateway::start(settings);
    let descriptors = gateway.status()["process"]["open_descriptors"].clone();
    (gateway, descriptors)
}

/// Waits until no client is there and no descriptor more is open than before.
fn wait_for_nothing_left(gateway: &Gateway, descriptors: &Value) {
    gateway.wait_for_status("all is as before", |status| {
        status["clients"]["total_connections"] == 0 && status["process"]["open_descriptors"] == *descriptors
    });
}

/// Checks that one peer's timeout is counted and logged once, at its step, and nowhere else.
fn check_step(gateway: &Gateway, step: &str, peer: SocketAddr) {
    gateway.wait_for_status(&format!("{step} is counted"), |status| timed_out(status, step) == 1);
    gateway.wait_for_line(&format!("tells of {step}"), |line| line.ends_with(&format!(" step={step}")));
    let status =
        gateway.wait_for_status("it is no longer under way", |status| status["handshakes"]["in_progress"] == 0);
    let total: u64 =
        ["nothing_sent", "header_unfinished", "response_not_read"].map(|step| timed_out(&status, step)).iter().sum();
    assert_eq!(total, 1, "{status:#}");
    assert_eq!(status["handshakes"]["completed"], 0, "{status:#}");
    let lines: Vec<String> = gateway.log().into_iter().filter(|line| line.contains("timed out")).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].ends_with(&format!("handshake timed out remote_addr={peer} step={step}")), "{lines:#?}");
}

#[test]
fn a_silent_peer_is_dropped() {
    let (gateway, descriptors) = start(SETTINGS);
    let stream = gateway.tcp();
    let peer = stream.local_addr().unwrap();
    wait_for_end(stream);
    check_step(&gateway, "nothing_sent", peer);
    wait_for_nothing_left(&gateway, &descriptors);
}

#[test]
fn a_peer_that_stops_in_its_header_is_dropped() {
    for part in ["G", "GET /ws HTTP/1.1\r\nHost: gw.example\r\nUpgr", "\r\n"] {
        let (gateway, descriptors) = start(SETTINGS);
        let mut stream = gateway.tcp();
        let peer = stream.local_addr().unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        wait_for_end(stream);
        check_step(&gateway, "header_unfinished", peer);
        wait_for_nothing_left(&gateway, &descriptors);
    }
}

/// Bytes that keep coming are no reason to wait for longer.
#[test]
fn a_peer_that_drips_its_header_is_dropped() {
    let gateway = Gateway::start(SETTINGS);
    let stream = gateway.tcp();
    let peer = stream.local_addr().unwrap();
    let mut dripping = stream.try_clone().unwrap();
    let drip = thread::spawn(move || {
        let endless = handshake(WS, "", "").trim_end().to_owned() + &"x".repeat(10_000);
        let mut bytes = endless.bytes();
        while dripping.write_all(&[bytes.next().expect("the gateway has dropped it long ago")]).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    wait_for_end(stream);
    check_step(&gateway, "header_unfinished", peer);
    drip.join().unwrap();
}

/// A Unix socket takes a fixed number of unread answers. Of connections with more and more of them before the one to
/// the upgrade, some get it, some stall before it, and one is left with exactly that answer unread.
#[test]
fn a_peer_that_never_reads_its_answer_is_dropped() {
    const STEP: &str = "response_not_read";
    let (gateway, descriptors) = start(&format!("{SETTINGS}idle_timeout = \"1m\"\n"));
    let plain = "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut peers = Vec::new();
    for count in 0..250 {
        let mut peer = UnixStream::connect(gateway.unix_path()).unwrap();
        peer.write_all((plain.repeat(count) + &handshake(WS, "", "")).as_bytes()).unwrap();
        peers.push(peer);
    }
    let status = gateway.wait_for_status("an unread answer is counted", |status| timed_out(status, STEP) > 0);
    assert!(status["handshakes"]["completed"].as_u64().is_some_and(|completed| completed > 0), "{status:#}");
    let logged = || gateway.log().into_iter().filter(|line| line.contains("timed out")).collect::<Vec<_>>();
    wait_until("each is logged once", || logged().len() as u64 == timed_out(&gateway.status(), STEP));
    let end = format!("handshake timed out remote_addr=unix step={STEP}");
    assert!(logged().iter().all(|line| line.ends_with(&end)), "{:#?}", logged());
    let status = gateway.status();
    assert_eq!((timed_out(&status, "nothing_sent"), timed_out(&status, "header_unfinished")), (0, 0), "{status:#}");
    drop(peers);
    wait_for_nothing_left(&gateway, &descriptors);
}

#[test]
fn a_kept_alive_connection_outlives_the_handshake_timeout() {
    let gateway = Gateway::start(&format!("{SETTINGS}idle_timeout = \"1m\"\n"));
    let mut connection = Connection::open(&gateway);
    let ask = |connection: &mut Connection| {
        connection.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        connection.receive(true).status
    };
    for later in 1..=2 {
        assert_eq!(ask(&mut connection), 200);
        wait_for_end(gateway.tcp());
        gateway.wait_for_status("a later connection is over", |status| timed_out(status, "nothing_sent") == later);
    }
    connection.send(handshake(WS, "", ""));
    assert_eq!(connection.receive(true).status, 101, "and may still be upgraded");
}

/// The idle limit counts from the last answer, and its end is no handshake that timed out.
#[test]
fn a_kept_alive_connection_ends_at_the_idle_timeout() {
    let gateway = Gateway::start("[handshake]\ntimeout = \"2s\"\nidle_timeout = \"3s\"\n");
    let mut connection = Connection::open(&gateway);
    let began = Instant::now();
    connection.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.receive(true).status, 200);
    assert_eq!(connection.rest(), "");
    assert!(began.elapsed() >= Duration::from_secs(3), "it ended after {:?}", began.elapsed());
    let status = gateway.status();
    assert!(status["handshakes"]["timed_out"].as_object().unwrap().values().all(|count| count == 0), "{status:#}");
    assert!(!gateway.log().iter().any(|line| line.contains("timed out")), "{:#?}", gateway.log());
}

#[test]
fn a_healthy_client_outlives_the_handshake_timeout() {
    let heartbeat = "[heartbeat]\ninterval = \"3s\"\ntimeout = \"3s\"\n";
    let gateway = Gateway::start(&(SETTINGS.to_owned() + heartbeat));
    let Client { mut socket } = gateway.connect();
    let answers_pings = thread::spawn(move || while socket.read().is_ok() {});
    let status = gateway.wait_for_status("it has answered some pings", |status| {
        status["heartbeat"]["pongs_received"].as_u64().is_some_and(|pongs| pongs >= 2)
    });
    assert_eq!(status["clients"]["total_connections"], 1, "{status:#}");
    assert!(gateway.disconnections(0).is_empty(), "{:#?}", gateway.log());
    drop(gateway);
    answers_pings.join().unwrap();
}
