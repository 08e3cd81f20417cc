//! The drain: paced, bounded, and hurried by a second signal.

use crate::common::frames::Raw;
use crate::common::{Gateway, PATIENCE};
use std::io::{Read, Write};
use std::time::Instant;

const SLOW: &str = "[limits]\nclose_timeout = \"1h\"\n[shutdown]\ndrain_timeout = \"1h\"\n";

#[test]
fn few_clients_are_not_kept_waiting() {
    let gateway = Gateway::start("");
    let readers: Vec<_> = (0..5)
        .map(|_| {
            let mut client = gateway.connect();
            std::thread::spawn(move || client.closed())
        })
        .collect();
    gateway.wait_for_clients(5);
    let begun = Instant::now();
    let (status, _) = gateway.stop();
    // The drain timeout is 20 s.
    assert!(status.success() && begun.elapsed().as_secs() < 15, "{status} {:?}", begun.elapsed());
    for reader in readers {
        assert_eq!(reader.join().unwrap(), (1012, "draining".to_owned()));
    }
}

#[test]
fn clients_that_do_not_answer_are_cut_and_counted() {
    let settings = "[limits]\nclose_timeout = \"1h\"\n[shutdown]\ndrain_timeout = \"10s\"\n";
    let mut gateway = Gateway::start(settings);
    let _silent: Vec<_> = (0..3).map(|_| Raw::connect(&gateway)).collect();
    let mut good = gateway.connect();
    gateway.wait_for_clients(4);
    gateway.signal("TERM");
    assert_eq!(good.closed().0, 1012);
    assert_eq!(gateway.wait().code(), Some(0));
    gateway.wait_for_line("counts them", |line| line.ends_with("stopped closed=1 cut=3"));
    let lines = gateway.disconnections(4);
    assert!(lines.len() == 4 && lines.iter().all(|line| line.contains(" reason=draining code=1012 ")), "{lines:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for second in ["TERM", "INT"] {
        let mut gateway = Gateway::start(SLOW);
        let mut silent = Raw::connect(&gateway);
        gateway.wait_for_clients(1);
        gateway.signal("INT");
        gateway.wait_for_line("drains", |line| line.ends_with(" how=drain"));
        // The close frame is there, and unanswered.
        assert_eq!(silent.receive().unwrap().1[..2], 1012_u16.to_be_bytes());
        gateway.signal(second);
        assert_eq!(gateway.wait().code(), Some(0));
        gateway.wait_for_line("counts it", |line| line.ends_with("stopped closed=0 cut=1"));
    }
}

#[test]
fn while_draining_nobody_new_is_let_in_and_nothing_is_left_hanging() {
    let mut gateway = Gateway::start("[handshake]\ntimeout = \"1m\"\n[limits]\nclose_timeout = \"1h\"\n");
    let mut silent = Raw::connect(&gateway);
    gateway.wait_for_clients(1);
    let mut never_spoke = gateway.tcp();
    let mut half = gateway.tcp();
    half.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").unwrap();
    let mut upgrading = gateway.tcp();
    upgrading.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n").unwrap();
    let mut kept_alive = gateway.tcp();
    kept_alive.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(kept_alive.read(&mut [0; 1000]).unwrap() > 0);
    gateway.wait_for_status("all are accepted", |status| status["handshakes"]["in_progress"] == 3);

    gateway.signal("TERM");
    assert_eq!(silent.receive().unwrap().1[..2], 1012_u16.to_be_bytes());
    // Those who have asked for nothing are gone, those who are asking get an answer.
    assert_eq!(never_spoke.read(&mut [0; 1]).unwrap(), 0);
    half.write_all(b"\r\n").unwrap();
    let answer = read_to_end(&mut half);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains(r#""code":"draining""#), "{answer}");
    upgrading.write_all(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").unwrap();
    let answer = read_to_end(&mut upgrading);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: "), "{answer}");
    assert!(std::net::TcpStream::connect(gateway.addr()).is_err(), "the listener is closed");
    assert!(!gateway.unix_path().exists(), "the Unix socket's path is gone");

    // Monitoring that was connected sees it until the last client is gone.
    for (path, seen) in [("/readyz", "503 Service Unavailable"), ("/status", r#"{"status":"draining","#)] {
        kept_alive.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = [0; 4000];
        let length = kept_alive.read(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer[..length]).contains(seen), "{path}");
    }
    drop(silent);
    assert_eq!(kept_alive.read(&mut [0; 1]).unwrap(), 0);
    assert!(gateway.wait().success());
    gateway.wait_for_line("counts it", |line| line.ends_with("stopped closed=0 cut=1"));
}

fn read_to_end(stream: &mut std::net::TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and the end");
    answer
}

#[test]
fn a_unix_socket_left_behind_is_taken_over() {
    let mut first = Gateway::start("");
    let path = first.unix_path();
    first.signal("KILL");
    assert!(!first.wait().success());
    assert!(path.exists());
    let settings = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]\n", path.display());
    let second = Gateway::start(&settings);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let (head, _) = crate::common::http(&mut stream, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    second.stop();
    assert!(!path.exists());
}
