//! How connections end, and that they leave nothing behind in the registry, the gauges and the open descriptors.

use crate::common::raw_client::RawClient;
use crate::common::{Gateway, wait_until};
use socket2::SockRef;
use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;
use test_support::frames::{CLOSE, FIN, PING, TEXT, client_frame};

/// Heartbeats that detect a silent client quickly.
const FAST_HEARTBEAT: &str = "[heartbeat]\ninterval = \"300ms\"\ntimeout = \"200ms\"\n";

/// Connects a client, lets `end` disconnect it, and checks that all that remains is one count of its close reason.
fn assert_ends_with(reason: &str, settings: &str, end: impl FnOnce(&Gateway, RawClient)) {
    let gateway = Gateway::start(settings);
    let descriptors = gateway.open_descriptors();
    let raw = RawClient::connect(&gateway);
    gateway.wait_for_status("the client", |status| {
        status["clients"]["total_connections"] == 1 || status["closed_total"][reason] == 1
    });
    end(&gateway, raw);
    gateway.wait_for_status(reason, |status| status["closed_total"][reason] == 1);
    let status = gateway.wait_for_descriptors(&descriptors);
    let closed = status["closed_total"].as_object().unwrap();
    assert!(closed.iter().all(|(other, count)| *count == u32::from(other == reason)), "{status}");
    for (pointer, expected) in [
        ("/handshakes/completed", 1),
        ("/handshakes/in_progress", 0),
        ("/outbox/bytes_queued", 0),
        ("/clients/operators", 0),
    ] {
        assert_eq!(status.pointer(pointer), Some(&expected.into()), "{status}");
    }
    gateway.wait_for_disconnects(1);
    let (_, log) = gateway.stop();
    let lines: Vec<_> = log.iter().filter(|line| line.contains(" disconnected ")).collect();
    assert!(lines.len() == 1 && lines[0].contains(&format!(" reason={reason} ")), "{lines:?}");
}

#[test]
fn close_frame_ends_as_normal() {
    assert_ends_with("normal", "", |_, mut raw| {
        raw.send(&client_frame(FIN | CLOSE, b"\x03\xe8"));
        assert_eq!(raw.wait_for_close(), Some((1000, String::new())));
    });
}

#[test]
fn end_of_stream_and_reset_end_as_abnormal() {
    let reset = |raw: &RawClient| SockRef::from(&raw.stream).set_linger(Some(Duration::ZERO)).unwrap();
    assert_ends_with("abnormal", "", |_, raw| drop(raw));
    assert_ends_with("abnormal", "", |_, raw| {
        raw.stream.shutdown(Shutdown::Write).unwrap();
        std::mem::forget(raw);
    });
    assert_ends_with("abnormal", "", |_, raw| reset(&raw));
    assert_ends_with("abnormal", "", |_, mut raw| {
        raw.send(&client_frame(FIN | TEXT, &[b'x'; 5000])[..3000]);
        reset(&raw);
    });
}

/// The client reads but answers nothing, not even the close frame.
#[test]
fn client_that_never_answers_a_ping_ends_as_pong_timeout() {
    assert_ends_with("pong_timeout", FAST_HEARTBEAT, |gateway, mut raw| {
        assert_eq!(raw.receive_any().unwrap().0, FIN | PING);
        let status = gateway.wait_for_status("the timeout", |status| status["heartbeat"]["timeouts"] == 1);
        assert!(status["heartbeat"]["pings_sent"] == 1 && status["heartbeat"]["pongs_received"] == 0, "{status}");
        assert_eq!(raw.wait_for_close(), Some((4100, "pong_timeout".to_owned())));
    });
}

#[test]
fn client_that_reads_no_responses_ends_as_slow_consumer_after_the_write_timeout() {
    let settings = "[limits]\nwrite_timeout = \"300ms\"\nclose_timeout = \"300ms\"";
    assert_ends_with("slow_consumer", settings, |gateway, mut raw| {
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["x"]}"#;
        let request = client_frame(FIN | TEXT, request.replace('x', &"x".repeat(500_000)).as_bytes());
        // Blocks once the gateway has stopped reading, and fails when it has closed the client.
        let writer = thread::spawn(move || while raw.stream.write_all(&request).is_ok() {});
        wait_until("the gateway closes the client", || gateway.status()["closed_total"]["slow_consumer"] == 1);
        writer.join().unwrap();
    });
}

#[test]
fn peak_counts_simultaneous_clients_only() {
    let gateway = Gateway::start("");
    let mut clients: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    gateway.wait_for_clients(3);
    clients.pop();
    gateway.wait_for_clients(2);
    clients.push(gateway.connect());
    assert_eq!(gateway.wait_for_clients(3)["peak_connections"], 3);
}

#[test]
fn message_contents_are_never_logged() {
    let gateway = Gateway::start("log_level = \"trace\"\n");
    let mut client = gateway.connect();
    client.send(r#"{"jsonrpc":"2.0","id":"s3cr3t","method":"gateway.echo","params":["s3cr3t"]}"#);
    assert!(client.receive().contains("s3cr3t"));
    client.send("s3cr3t");
    client.receive();
    let close = tungstenite::protocol::CloseFrame { code: 1000.into(), reason: "s3cr3t".into() };
    client.socket.close(Some(close)).unwrap();
    gateway.wait_for_disconnects(1);
    let (_, log) = gateway.stop();
    assert!(!log.iter().any(|line| line.contains("s3cr3t")), "{log:#?}");
}
