//! How connections end, and that they leave nothing behind in the registry, the gauges and the open descriptors.

use crate::common::raw_client::RawClient;
use crate::common::test_gateway::{TestGateway, digest, token};
use crate::common::{Gateway, wait_until};
use serde_json::json;
use socket2::SockRef;
use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::process::Command;
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
        let lines = gateway.wait_for_disconnects(1);
        assert!(lines[0].ends_with(" detail=\"over limits.write_timeout\""), "{lines:?}");
    });
}

/// Sends requests and then `end`, and reads nothing until the gateway has read both. The answers don't fit into the
/// kernel's buffers, but into half an outbox, above which the gateway stops reading.
fn send_without_reading(gateway: &Gateway, raw: &mut RawClient, end: &[u8]) {
    let bytes = [echo_requests(15, 100_000), end.to_vec()].concat();
    raw.send(&bytes);
    gateway.wait_for_status("all input", |status| status["bytes"]["in"] == bytes.len());
}

#[test]
fn requests_ahead_of_the_clients_close_are_all_answered() {
    let gateway = Gateway::start("[limits]\nclose_timeout = \"1m\"\nwrite_timeout = \"1m\"");
    let mut raw = RawClient::connect(&gateway);
    send_without_reading(&gateway, &mut raw, &client_frame(FIN | CLOSE, b"\x03\xe8"));
    assert_answers(&mut raw, 15);
    assert_eq!(raw.receive(), Some((FIN | CLOSE, b"\x03\xe8".to_vec())));
}

#[test]
fn requests_ahead_of_the_end_of_the_stream_are_all_answered() {
    let gateway = Gateway::start("[limits]\nclose_timeout = \"1m\"\nwrite_timeout = \"1m\"");
    let mut raw = RawClient::connect(&gateway);
    send_without_reading(&gateway, &mut raw, b"");
    raw.stream.shutdown(Shutdown::Write).unwrap();
    assert_answers(&mut raw, 15);
    assert_eq!(raw.receive(), None);
    gateway.wait_for_status("the close reason", |status| status["closed_total"]["abnormal"] == 1);
}

#[test]
fn requests_ahead_of_an_invalid_frame_are_all_answered() {
    let gateway = Gateway::start("[limits]\nclose_timeout = \"1m\"\nwrite_timeout = \"1m\"");
    let mut raw = RawClient::connect(&gateway);
    send_without_reading(&gateway, &mut raw, &client_frame(FIN | 0x3, b""));
    assert_answers(&mut raw, 15);
    assert_eq!(raw.wait_for_close(), Some((1002, "protocol_error".to_owned())));
}

/// The client sends more than all buffers hold before it reads, and meanwhile the gateway wants to close.
#[test]
fn client_that_is_still_sending_receives_its_answers_and_the_close_frame() {
    let gateway =
        Gateway::start("[limits]\nclose_timeout = \"1m\"\nwrite_timeout = \"1m\"\n[shutdown]\ndrain_timeout = \"1m\"");
    let mut raw = RawClient::connect(&gateway);
    send_without_reading(&gateway, &mut raw, b"");
    gateway.signal("TERM");
    gateway.wait_for_line("the drain", |line| line.ends_with(" mode=drain"));
    raw.send(&echo_requests(100, 100_000));
    assert_answers(&mut raw, 15);
    // The line is logged before the close is requested, so the gateway may have answered some of these requests too.
    let mut rest = std::iter::repeat_with(|| raw.receive());
    let close = rest.find(|frame| frame.as_ref().is_none_or(|(first, _)| *first != FIN | TEXT)).unwrap();
    assert_eq!(close, Some((FIN | CLOSE, [&1012_u16.to_be_bytes()[..], b"draining"].concat())));
}

fn echo_requests(count: usize, length: usize) -> Vec<u8> {
    let text = "x".repeat(length);
    let request = |id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"gateway.echo","params":["{text}"]}}"#);
    (0..count).flat_map(|id| client_frame(FIN | TEXT, request(id).as_bytes())).collect()
}

fn assert_answers(raw: &mut RawClient, count: usize) {
    for id in 0..count {
        let (first, answer) = raw.receive().unwrap_or_else(|| panic!("the stream ends at answer {id} of {count}"));
        assert!(first == FIN | TEXT && answer.ends_with(format!("\"id\":{id}}}").as_bytes()), "{id}: {first:#x}");
    }
}

/// An answer of a node waits in the outbox of a client that isn't reading when the client closes.
#[test]
fn nodes_answer_queued_before_the_clients_close_arrives() {
    let gateway = TestGateway::start(
        &[("ann", "operator", "*"), ("kitchen-pi", "node", "")],
        "[limits]\nclose_timeout = \"1m\"\nwrite_timeout = \"1m\"\noutbox_max_bytes = 16777216\n",
    );
    let mut node = gateway.connect("kitchen-pi");
    let mut raw = RawClient::upgrade(gateway.tcp(), &format!("Authorization: {}", gateway.bearer("ann")));
    let text = "x".repeat(500_000);
    // Fewer bytes than half an outbox, above which the gateway reads no further request.
    let calls = 12;
    for id in 0..calls {
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"node.invoke","params":{{"target":"node:kitchen-pi","method":"m"}}}}"#
        );
        raw.send(&client_frame(FIN | TEXT, call.as_bytes()));
        node.respond_next(json!(text));
    }
    node.call("gateway.ping", json!({}));
    let status = gateway.status();
    assert_eq!(status["calls"]["ended"]["answered"], calls);
    assert!(status["outbox"]["bytes_queued"].as_u64().unwrap() > 500_000, "{status}");
    raw.send(&client_frame(FIN | CLOSE, b"\x03\xe8"));
    assert_answers(&mut raw, calls);
    assert_eq!(raw.receive(), Some((FIN | CLOSE, b"\x03\xe8".to_vec())));
}

/// Otherwise the kernel keeps the bytes that the client hasn't read, in FIN_WAIT1, until it gives the client up.
#[test]
fn client_that_is_cut_off_is_reset() {
    let gateway = Gateway::start("[limits]\nwrite_timeout = \"2s\"\nclose_timeout = \"100ms\"");
    let mut raw = RawClient::connect(&gateway);
    // The gateway has read all of it: closing a socket with unread bytes would reset the connection anyway.
    send_without_reading(&gateway, &mut raw, b"");
    gateway.wait_for_status("the cut", |status| status["closed_total"]["slow_consumer"] == 1);
    let end = std::io::copy(&mut raw.stream, &mut std::io::sink()).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

#[test]
fn peak_counts_simultaneous_clients_only() {
    let gateway = Gateway::start("");
    // The peak counts a client from the moment at which it can be answered.
    let connect = || {
        let mut client = gateway.connect();
        assert_eq!(client.call("gateway.ping")["result"], "pong");
        client
    };
    let mut clients: Vec<_> = (0..3).map(|_| connect()).collect();
    clients.pop();
    gateway.wait_for_clients(2);
    clients.push(connect());
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

#[test]
fn client_is_closed_at_its_maximum_lifetime_and_when_its_credential_expires() {
    let gateway = Gateway::start("[limits]\nmax_lifetime = \"1s\"");
    let mut client = gateway.connect();
    assert_eq!(client.wait_for_close(), (4200, "max_lifetime".to_owned()));
    // On a busy machine, the credential may expire before the client connects.
    let closed = [2, 10, 50].into_iter().find_map(|seconds| {
        let offset = format!("+{seconds} seconds");
        let output = Command::new("date").args(["-u", "-d", &offset, "+%Y-%m-%dT%H:%M:%SZ"]).output().expect("date");
        let not_after = String::from_utf8(output.stdout).unwrap();
        let gateway = TestGateway(Gateway::start(&format!(
            "[auth]\nmode = \"token\"\n[[auth.credentials]]\nname = \"ann\"\nrole = \"operator\"\n\
             not_after = {not_after}token_sha256 = \"{}\"",
            digest(&token("ann"))
        )));
        let mut client = gateway.try_connect("ann").ok()?;
        let close = client.client.wait_for_close();
        assert!(gateway.try_connect("ann").is_err(), "the credential has expired");
        Some(close)
    });
    assert_eq!(closed, Some((4002, "credential_revoked".to_owned())));
}
