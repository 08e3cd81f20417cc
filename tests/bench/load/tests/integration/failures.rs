//! Servers that split frames, reply wrongly, refuse, close and hang: the load generator says what is wrong, and always ends.

use crate::server::{BINARY, Connection, FINAL_CLOSE, PING, PONG, TEXT, echo, listen, load, run, websocket};
use rustix::net::{AddressFamily, SocketType};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;
use test_support::frames::server_frame;

/// The fault ends the run long before this timeout.
const UNTIL_FAULT: &str = "--connections 3 --timeout 5";
/// For servers that hang: this timeout ends the run.
const SHORT_TIMEOUT: &str = "--connections 3 --timeout 2";

/// A server that answers each text with these bytes.
fn answering(bytes: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    websocket(move |mut connection| connection.serve(|connection, text| connection.write(&bytes(&text))))
}

#[test]
fn fragments_and_split_handshakes_are_joined() {
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
    load(echo(), "echo --connections 3 --seconds 2 --warmup 0 --size 5000000").report();
}

#[test]
fn wrong_replies_are_described() {
    let fails = |options: &str, answer: fn(&[u8]) -> Vec<u8>, message| {
        load(answering(answer), &format!("{options} {UNTIL_FAULT}")).fails_with(1, message);
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
fn lost_broadcast_is_reported() {
    let addr = websocket(|mut connection| {
        connection.serve(|connection, text| {
            if text[0] != b'!' {
                connection.send(TEXT, &text);
            }
        });
    });
    load(addr, &format!("fanout {SHORT_TIMEOUT}")).fails_with(1, "waiting for 4 messages");
}

#[test]
fn refused_and_closed_connections_are_reported() {
    let refusing = listen(|stream| {
        if let Some(mut connection) = Connection::accept(stream) {
            connection.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        }
    });
    load(refusing, &format!("echo {UNTIL_FAULT}")).fails_with(1, "HTTP/1.1 401 Unauthorized");
    load(refusing, &format!("hold {UNTIL_FAULT}")).fails_with(1, "3 connections didn't open");
    let closing = answering(|_| server_frame(FINAL_CLOSE, b"\x03\xf4draining"));
    load(closing, &format!("echo {UNTIL_FAULT}")).fails_with(1, "code 1012 draining");
    let aborting = websocket(|connection| connection.shutdown());
    load(aborting, &format!("echo {UNTIL_FAULT}")).fails_with(1, "without a close frame");
    load(listen(drop), &format!("echo {UNTIL_FAULT}")).fails_with(1, "connection");
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

/// All at once, since they wait for their timeouts.
#[test]
fn hanging_servers_time_out() {
    let hang = || {
        loop {
            thread::park();
        }
    };
    let silent = websocket(move |_connection| hang());
    let unanswering = listen(move |_stream| hang());
    // Accepted by the kernel only.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let unaccepted = listener.local_addr().unwrap();
    thread::scope(|scope| {
        for (addr, options, message) in [
            (silent, "echo --seconds 0.1 --warmup 0", "no message was answered"),
            (silent, &format!("echo {SHORT_TIMEOUT}"), "waiting for replies on 3 connections"),
            (silent, "hold --dialect nats --connections 2 --timeout 2", "confirmations"),
            (silent, "handshake --connections 2 --timeout 2", "the end of 2 closed connections"),
            (silent, "fanout --connections 2 --timeout 2", "3 confirmations of subscriptions"),
            (unanswering, &format!("echo {SHORT_TIMEOUT}"), "waiting for 3 of 3 handshakes"),
            (unanswering, "hold --at-once --connections 2 --timeout 2", "handshakes"),
            (unaccepted, &format!("hold {SHORT_TIMEOUT}"), "waiting for 3 of 3 handshakes"),
        ] {
            let options = options.to_owned();
            scope.spawn(move || load(addr, &options).fails_with(1, message));
        }
    });
}

#[test]
fn failed_connects_are_reported() {
    // Bound but not listening, so that no other process can use the port.
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
    load(addr, &format!("echo {UNTIL_FAULT}")).fails_with(1, "can't connect");
    load(addr, "hold --at-once --connections 2").fails_with(1, "2 connections didn't open");
    load(addr, "handshake --connections 2 --seconds 0.1 --warmup 0").fails_with(1, "no handshake");
}

#[test]
fn missing_process_is_reported() {
    load(echo(), &format!("echo {UNTIL_FAULT} --pid 5000000")).fails_with(1, "/proc/5000000");
}

#[test]
fn low_descriptor_limit_is_reported() {
    let command = format!("ulimit -n 100 && {} hold --addr 127.0.0.1:1 --connections 90", env!("CARGO_BIN_EXE_load"));
    run(Command::new("sh").args(["-c", &command])).fails_with(2, "ulimit -n 122");
}

#[test]
fn invalid_arguments_exit_with_2() {
    let addr = "127.0.0.1:1".parse().unwrap();
    load(addr, "shout").fails_with(2, "unknown name");
}
