//! Servers that split, ping, lie, refuse, close and hang. The program says what was wrong, and always ends.

use crate::common::{CLOSE, Client, PING, PONG, TEXT, echo, frame, listen, load, run, websocket};
use rustix::net::{AddressFamily, SocketType};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Long enough for something to go wrong, which ends it.
const UNTIL_WRONG: &str = "--connections 3 --patience 5";
/// Against servers that hang: nothing but this ends it.
const IMPATIENT: &str = "--connections 3 --patience 2";

/// Answers every text with these bytes.
fn answers(bytes: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    websocket(move |mut client| client.serve(|client, text| client.write(&bytes(&text))))
}

#[test]
fn frames_in_pieces_with_pings_between_them() {
    let addr = listen(|stream| {
        let Some(mut client) = Client::accept(stream) else { return };
        // The 101 in pieces too.
        let mut pieces = client.another();
        pieces.write(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Acc");
        thread::sleep(Duration::from_millis(5));
        // A ping in the same piece as the end of the head.
        let rest = b"ept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r";
        pieces.write(rest);
        pieces.write(&[b"\n", &frame(PING, b"early")[..]].concat());
        assert_eq!(pieces.receive(), Some((PONG, b"early".into())));
        while let Some((_, text)) = client.receive() {
            let (begin, end) = text.split_at(text.len() / 3);
            let stream = [frame(0x01, begin), frame(PING, b"between"), frame(0x00, b""), frame(0x80, end)].concat();
            client.write_pieces(&stream, 1 + text.len() / 40);
            assert_eq!(client.receive(), Some((PONG, b"between".into())));
        }
    });
    for size in ["40", "126", "70000"] {
        let json = load("idle", addr, &format!("--connections 3 --seconds 0 --message {size}")).json();
        assert_eq!(json["pings"], 6, "{json}");
    }
}

#[test]
fn huge_frames() {
    load("idle", echo(), "--connections 3 --seconds 0 --message 5000000").json();
}

#[test]
fn answers_that_are_wrong() {
    let longer = answers(|text| frame(TEXT, &[text, b"x"].concat()));
    load("echo", longer, UNTIL_WRONG).failed(1, "bytes instead of 64");
    let other = answers(|text| frame(TEXT, &vec![b'?'; text.len()]));
    load("echo", other, UNTIL_WRONG).failed(1, "differs from what was sent: ????");
    let binary = answers(|text| frame(0x82, text));
    load("echo", binary, UNTIL_WRONG).failed(1, "binary");
    let masked = answers(|text| [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text].concat());
    load("echo", masked, UNTIL_WRONG).failed(1, "a masked frame");
    let error = answers(|_| frame(TEXT, b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601},\"id\":1000000000}"));
    load("echo", error, &format!("{UNTIL_WRONG} --rpc")).failed(1, "-32601");
}

#[test]
fn broadcasts_that_are_wrong() {
    let lost = websocket(|mut client| {
        client.serve(|client, text| {
            if text[0] != b'!' {
                client.write(&frame(TEXT, &text));
            }
        });
    });
    load("fanout", lost, IMPATIENT).failed(1, "a broadcast that 4 of 4 connections haven't got");
}

#[test]
fn refusals_and_closes() {
    let refusing = listen(|stream| {
        if let Some(mut client) = Client::accept(stream) {
            client.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        }
    });
    load("echo", refusing, UNTIL_WRONG).failed(1, "HTTP/1.1 401 Unauthorized");
    let idle = load("idle", refusing, UNTIL_WRONG);
    idle.failed(1, "\"refused\":3");
    let closing = answers(|_| frame(CLOSE, b"\x03\xf4draining"));
    load("echo", closing, UNTIL_WRONG).failed(1, "code 1012 draining");
    let cutting = websocket(|client| client.end());
    load("echo", cutting, UNTIL_WRONG).failed(1, "without a close frame");
    let leaving = listen(drop);
    load("echo", leaving, UNTIL_WRONG).failed(1, "connection");
}

#[test]
fn losses_are_counted_where_connections_are_held() {
    let addr = websocket(|mut client| {
        thread::sleep(Duration::from_millis(300));
        client.write(&frame(CLOSE, b"\x03\xf4draining"));
        // The answer is a close frame too.
        assert!(client.receive().is_some_and(|(first, _)| first == CLOSE));
    });
    let json = load("ping", addr, "--connections 3 --seconds 3").json();
    assert_eq!((&json["lost"], &json["losses"]["close_codes"]["1012"]), (&3.into(), &3.into()));
}

/// All at once: they wait until their patience is at its end.
#[test]
fn servers_that_hang() {
    let hang = || {
        loop {
            thread::park();
        }
    };
    let deaf = websocket(move |_client| hang());
    let mute = listen(move |_stream| hang());
    // Accepted by the kernel and by nobody else.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let unaccepted = listener.local_addr().unwrap();
    thread::scope(|scope| {
        for (mode, addr, options, words) in [
            ("echo", deaf, "--seconds 0.1 --warmup 0", "no message was answered"),
            ("echo", deaf, IMPATIENT, "waiting for answers on 3 connections"),
            ("idle", deaf, "--connections 2 --message 9 --patience 2", "waiting for the message"),
            ("handshake", deaf, "--connections 2 --patience 2", "the end of 2 connections"),
            ("slow", deaf, "--connections 2 --patience 2", "on the connection that reads"),
            ("fanout", deaf, "--connections 2 --patience 2", "an echo"),
            ("echo", mute, IMPATIENT, "waiting for 3 of 3 handshakes"),
            ("storm", mute, "--connections 2 --patience 2", "handshakes"),
            ("ping", unaccepted, IMPATIENT, "waiting for 3 of 3 handshakes"),
        ] {
            scope.spawn(move || load(mode, addr, options).failed(1, words));
        }
    });
}

#[test]
fn nobody_listens() {
    // Bound all the while, so that nobody else can.
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
    load("echo", addr, UNTIL_WRONG).failed(1, "can't connect");
    load("storm", addr, "--connections 2").failed(1, "no connection opened");
    load("handshake", addr, "--connections 2 --seconds 0.1 --warmup 0").failed(1, "no handshake");
}

#[test]
fn a_process_that_is_gone() {
    load("echo", echo(), &format!("{UNTIL_WRONG} --pid 5000000")).failed(1, "process 5000000");
}

#[test]
fn too_few_descriptors() {
    let command = format!("ulimit -n 100 && {} idle --addr 127.0.0.1:1 --connections 90", env!("CARGO_BIN_EXE_load"));
    run(Command::new("sh").args(["-c", &command])).failed(2, "ulimit -n 122");
}

#[test]
fn arguments() {
    let addr = "127.0.0.1:1".parse().unwrap();
    load("echo", addr, "--rounds 3").failed(2, "--rounds has no meaning for echo");
    load("shout", addr, "").failed(2, "no mode 'shout'");
}
