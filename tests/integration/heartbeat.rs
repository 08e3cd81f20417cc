//! Clients that the heartbeat must not close.

use crate::common::Gateway;
use crate::common::raw_client::RawClient;
use serde_json::Value;
use socket2::SockRef;
use std::io::Read;
use std::thread;
use std::time::Duration;
use test_support::frames::{FIN, TEXT, client_frame};

/// Long enough for a client to keep up with on a busy machine.
const HEARTBEAT: &str = "[heartbeat]\ninterval = \"3s\"\ntimeout = \"3s\"\n";

fn count(status: &Value, counter: &str) -> u64 {
    status["heartbeat"][counter].as_u64().expect("a number")
}

/// Checks that all clients are still connected and none was closed.
fn assert_none_closed(status: &Value, clients: u64) {
    assert_eq!(status["clients"]["total_connections"], clients, "{status}");
    assert!(status["closed_total"].as_object().unwrap().values().all(|count| count == 0), "{status}");
}

#[test]
fn healthy_client_outlives_two_heartbeats_and_the_handshake_timeout() {
    let gateway = Gateway::start(&format!("[handshake]\ntimeout = \"2s\"\n{HEARTBEAT}"));
    let mut client = gateway.connect();
    // Reading answers the pings.
    let reader = thread::spawn(move || client.wait_for_close());
    let status = gateway.wait_for_status("two pongs", |status| count(status, "pongs_received") >= 2);
    assert_none_closed(&status, 1);
    assert!(status["heartbeat"]["round_trip_p50_microseconds"].is_u64(), "{status}");
    assert!(gateway.wait_for_disconnects(0).is_empty(), "{:#?}", gateway.log());
    gateway.signal("TERM");
    assert_eq!(reader.join().unwrap().0, 1012);
}

/// The client sends no pong, only notifications, one byte at a time.
#[test]
fn any_received_byte_proves_a_client_alive() {
    let gateway = Gateway::start(HEARTBEAT);
    let mut raw = RawClient::connect(&gateway);
    let notification = client_frame(FIN | TEXT, br#"{"jsonrpc":"2.0","method":"gateway.ping"}"#);
    let mut bytes = notification.chunks(1).cycle();
    gateway.wait_for_status("three pings without a pong", |status| {
        raw.send(bytes.next().unwrap());
        count(status, "pings_sent") >= 3
    });
    assert_none_closed(&gateway.status(), 1);
}

#[test]
fn client_that_reads_a_large_message_slowly_is_not_closed() {
    let gateway = Gateway::start("[heartbeat]\ninterval = \"2s\"\ntimeout = \"1s\"\n");
    let stream = gateway.tcp();
    SockRef::from(&stream).set_recv_buffer_size(16 * 1024).unwrap();
    let mut raw = RawClient::upgrade(stream, "");
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["x"]}"#;
    raw.send(&client_frame(FIN | TEXT, request.replace('x', &"x".repeat(900_000)).as_bytes()));
    let (mut bytes, mut total) = ([0; 4096], 0);
    while total < 900_000 {
        let length = raw.stream.read(&mut bytes).unwrap();
        assert!(length > 0, "closed after {total} bytes");
        total += length;
        // Reading takes longer than interval and timeout together.
        thread::sleep(Duration::from_millis(16));
    }
    assert_none_closed(&gateway.status(), 1);
}

/// By the time of SIGCONT every pong deadline has passed.
#[test]
fn stopped_and_continued_gateway_closes_no_client() {
    let gateway = Gateway::start(HEARTBEAT);
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let mut client = gateway.connect();
            thread::spawn(move || client.wait_for_close())
        })
        .collect();
    gateway.wait_for_status("a pong of each client", |status| count(status, "pongs_received") > 20);
    for _ in 0..2 {
        gateway.signal("STOP");
        // Longer than the interval.
        thread::sleep(Duration::from_secs(5));
        gateway.signal("CONT");
        let before = count(&gateway.status(), "pongs_received");
        gateway.wait_for_status("another pong of each", |status| count(status, "pongs_received") > before + 20);
    }
    assert_none_closed(&gateway.status(), 20);
    gateway.signal("TERM");
    for reader in readers {
        assert_eq!(reader.join().unwrap().0, 1012);
    }
}
