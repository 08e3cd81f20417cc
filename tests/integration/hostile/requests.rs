//! What peers do before an upgrade.

use super::survives;
use crate::common::http::{GET_WS, HttpConnection, handshake_request};
use crate::common::raw_client::RawClient;
use std::io::{Read, Write};
use std::net::TcpStream;

const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X-Y"];

const PATHS: [&str; 14] = [
    "/ws",
    "/ws/",
    "/status",
    "/healthz",
    "/readyz",
    "/clients",
    "/clients/closed",
    "/clients/0f8fad5b-d9cb-469f-a165-70867728950e",
    "/clients/x/messages",
    "/topics/x/messages",
    "/nodes",
    "/nodes/node:x/invoke",
    "/%2e%2e/ws",
    "*",
];

#[test]
fn each_method_at_each_path_gets_an_answer() {
    survives("", |gateway| {
        for (method, path) in METHODS.iter().flat_map(|method| PATHS.map(|path| (*method, path))) {
            for body in ["", "Content-Length: 2\r\n\r\n{}"] {
                let mut connection = HttpConnection::open(gateway);
                connection.send(format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{body}\r\n\r\n"));
                let response = connection.receive(method != "HEAD");
                let what = format!("{method} {path} {body:?}");
                assert!((200..500).contains(&response.status), "{what}: {response:?}");
                // hyper answers what isn't a request to a server, without a body.
                if !response.body.is_empty() {
                    response.assert_json(&what);
                }
            }
        }
    });
}

#[test]
fn thousands_of_silent_connections_keep_nobody_out() {
    survives("", |gateway| {
        let silent: Vec<_> = (0..3000).map(|_| gateway.tcp()).collect();
        gateway.wait_for_status("all are in progress", |status| status["handshakes"]["in_progress"] == silent.len());
        gateway.connect().close();
    });
}

#[test]
fn handshakes_of_every_length_that_end_at_once_leave_nothing_behind() {
    let valid = handshake_request(GET_WS, "", "");
    survives("", |gateway| {
        for end in 0..=valid.len() {
            let mut stream = gateway.tcp();
            stream.write_all(&valid.as_bytes()[..end]).unwrap();
        }
    });
}

#[test]
fn many_large_handshakes_at_once_are_refused_and_forgotten() {
    let header = format!("Authorization: Bearer {}", "x".repeat(14_000));
    let request = handshake_request("GET /ws?token=x HTTP/1.1", "", &header);
    survives("", |gateway| {
        let mut streams: Vec<TcpStream> = (0..500).map(|_| gateway.tcp()).collect();
        streams.iter_mut().for_each(|stream| stream.write_all(request.as_bytes()).unwrap());
        for mut stream in streams {
            let mut response = String::new();
            stream.read_to_string(&mut response).unwrap();
            assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
        }
    });
}

#[test]
fn requests_ahead_of_pipelined_garbage_are_answered() {
    let valid = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    survives("", |gateway| {
        for garbage in [&b"\0\0\0\0\r\n\r\n"[..], b"GARBAGE\r\n\r\n", &[0xff; 20_000], b"GET /ws HTTP/1.1\r\n:\r\n\r\n"]
        {
            let mut connection = HttpConnection::open(gateway);
            connection.send([valid.as_bytes(), garbage].concat());
            for _ in 0..50 {
                assert_eq!(connection.receive(true).status, 200);
            }
            let status = connection.receive(false).status;
            assert!([400, 431].contains(&status), "{status}: {garbage:?}");
            connection.read_to_end();
        }
    });
}

#[test]
fn everything_in_one_packet_is_answered_in_order() {
    use test_support::frames::{CLOSE, FIN, PING, PONG, TEXT, client_frame};
    let frames = [
        client_frame(FIN | TEXT, br#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#),
        client_frame(FIN | PING, b"x"),
        client_frame(TEXT, br#"{"jsonrpc":"2.0","id":2,"#),
        client_frame(FIN, br#""method":"gateway.ping"}"#),
        client_frame(FIN | CLOSE, b"\x03\xe8"),
        // After the close.
        client_frame(FIN | TEXT, b"ignored"),
        vec![0xff; 100],
    ];
    let handshake = handshake_request(GET_WS, "", "");
    survives("", |gateway| {
        let all = [handshake.as_bytes(), &frames.concat()].concat();
        // At once, and byte by byte.
        for size in [all.len(), 1] {
            let mut stream = gateway.tcp();
            stream.set_nodelay(true).unwrap();
            let mut writer = stream.try_clone().unwrap();
            let all = all.clone();
            // The gateway may close before the last bytes are sent.
            let writing = std::thread::spawn(move || all.chunks(size).all(|chunk| writer.write_all(chunk).is_ok()));
            let mut received = Vec::new();
            let mut byte = [0];
            while !received.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                received.push(byte[0]);
            }
            assert!(received.starts_with(b"HTTP/1.1 101 "));
            let mut raw = RawClient::opened(stream);
            let mut answers: Vec<_> = (0..4).map(|_| raw.receive().expect("an answer")).collect();
            let pong = answers.iter().position(|answer| *answer == (FIN | PONG, b"x".to_vec()));
            answers.remove(pong.expect("a pong"));
            assert!(answers[0].1.ends_with(br#""id":1}"#) && answers[1].1.ends_with(br#""id":2}"#), "{answers:?}");
            assert_eq!(answers[2], (FIN | CLOSE, b"\x03\xe8".to_vec()));
            assert_eq!(raw.receive(), None);
            writing.join().unwrap();
        }
    });
}
