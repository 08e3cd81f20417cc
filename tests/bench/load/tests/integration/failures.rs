//! Servers that split frames, reply wrongly, refuse, and close: the load generator says what is wrong.

use crate::server::{BINARY, Connection, FINAL_CLOSE, PING, PONG, TEXT, echo, listen, load, websocket};
use rustix::net::{AddressFamily, SocketType};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use test_support::frames::server_frame;

/// A server that answers each text with these bytes.
fn answering(bytes: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    websocket(move |mut connection| connection.serve(|connection, text| connection.write(&bytes(&text))))
}

#[test]
fn split_frames_and_handshakes_are_joined() {
    let addr = listen(|stream| {
        let Some(mut connection) = Connection::accept(stream) else { return };
        let mut writer = connection.writer();
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Acc");
        thread::sleep(Duration::from_millis(5));
        writer.write(b"ept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r");
        // A ping in the same packet as the end of the head.
        writer.write(&[b"\n", &server_frame(PING, b"early")[..]].concat());
        assert_eq!(connection.receive(), Some((PONG, b"early".into())));
        while let Some((_, text)) = connection.receive() {
            let frames = [server_frame(PING, b"between"), server_frame(TEXT, &text)];
            connection.write_in_packets(&frames.concat(), 1 + text.len() / 40);
            assert_eq!(connection.receive(), Some((PONG, b"between".into())));
        }
    });
    for size in ["40", "126", "70000"] {
        load(addr, &format!("echo --connections 3 --seconds 2 --warmup 0 --size {size}")).report();
    }
    load(echo(), "echo --connections 1 --seconds 2 --warmup 0 --size 5000000").report();
}

#[test]
fn wrong_replies_are_described() {
    let fails = |options: &str, answer: fn(&[u8]) -> Vec<u8>, message| {
        load(answering(answer), &format!("{options} --connections 3")).fails_with(message);
    };
    fails("echo", |text| server_frame(TEXT, &[text, b"x"].concat()), "bytes instead of 64");
    fails("echo", |text| server_frame(TEXT, &vec![b'?'; text.len()]), "differs from the message: ????");
    fails("echo", |text| server_frame(BINARY, text), "binary");
    fails("echo", |text| [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text].concat(), "masked frame");
    let error = |_: &[u8]| server_frame(TEXT, b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601},\"id\":1000000000}");
    fails("echo --dialect rpc", error, "-32601");
    fails("hold --dialect nats", |_| server_frame(BINARY, b"-ERR 'no'\r\n"), "-ERR 'no'");
    let changed = |text: &[u8]| server_frame(TEXT, if text[0] == b'!' { b"!?" } else { text });
    fails("fanout", changed, "differs from what was published: !?");
}

#[test]
fn refused_and_closed_connections_are_reported() {
    let refusing = listen(|stream| {
        if let Some(mut connection) = Connection::accept(stream) {
            connection.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        }
    });
    load(refusing, "echo --connections 3").fails_with("HTTP/1.1 401 Unauthorized");
    load(refusing, "hold --connections 3").fails_with("3 connections didn't open");
    let closing = answering(|_| server_frame(FINAL_CLOSE, b"\x03\xf4draining"));
    load(closing, "echo --connections 3").fails_with("code 1012 draining");
    let aborting = websocket(|connection| connection.shutdown());
    load(aborting, "echo --connections 3").fails_with("without a close frame");
    load(listen(drop), "hold --connections 3").fails_with("3 connections didn't open");
}

#[test]
fn lost_connections_are_counted_while_held() {
    let addr = websocket(|mut connection| {
        thread::sleep(Duration::from_millis(300));
        connection.send(FINAL_CLOSE, b"\x03\xf4draining");
        assert!(connection.receive().is_some_and(|(first, _)| first == FINAL_CLOSE));
    });
    let report = load(addr, "hold --connections 3 --seconds 3").report();
    assert_eq!(report["lost"], 3);
}

#[test]
fn missing_reply_is_reported() {
    let silent = websocket(|mut connection| while connection.receive().is_some() {});
    load(silent, "echo --seconds 0.1 --warmup 0").fails_with("no message was answered");
}

#[test]
fn failed_connects_are_reported() {
    // Bound but not listening, so that no other process can use the port.
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
    load(addr, "echo --connections 3").fails_with("can't connect");
    load(addr, "hold --at-once --connections 2").fails_with("2 connections didn't open");
    load(addr, "handshake --connections 2 --seconds 0.1 --warmup 0").fails_with("no handshake");
}

#[test]
fn unknown_mode_and_missing_process_are_reported() {
    load(echo(), "shout").fails_with("unknown name");
    load(echo(), "echo --connections 3 --pid 5000000").fails_with("/proc/5000000");
}
