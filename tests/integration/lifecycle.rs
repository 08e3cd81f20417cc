//! Every way that a connection ends, and what must be true after it.

use crate::common::frames::{CLOSE, FIN, PING, Raw, TEXT, frame};
use crate::common::{Gateway, wait_until};
use serde_json::Value;
use socket2::SockRef;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Quick heartbeats, for clients that are to be taken for dead.
const QUICK: &str = "[heartbeat]\ninterval = \"300ms\"\ntimeout = \"200ms\"\n";
/// As quick as a client can be sure to follow on a busy machine.
const BRISK: &str = "[heartbeat]\ninterval = \"3s\"\ntimeout = \"3s\"\n";

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn sum(tally: &Value) -> u64 {
    tally.as_object().unwrap().values().map(number).sum()
}

/// Connects, runs the connection's life, and then checks what [`leaves_nothing`] does.
fn ends_as(reason: &str, settings: &str, life: impl FnOnce(&Gateway, Raw)) {
    leaves_nothing(reason, settings, |gateway| {
        let raw = Raw::connect(gateway);
        gateway.wait_for_clients(1);
        life(gateway, raw);
    });
}

/// Runs the life of one client, and then checks that nothing of it is left: registry, counters, descriptors, log.
fn leaves_nothing(reason: &str, settings: &str, life: impl FnOnce(&Gateway)) {
    let gateway = Gateway::start(settings);
    let descriptors = number(&gateway.status()["process"]["open_descriptors"]);
    life(&gateway);
    let status = gateway.wait_for_status("all is as before", |status| {
        status["clients"]["total_connections"] == 0
            && number(&status["process"]["open_descriptors"]) == descriptors
            && status["closed_total"][reason] == 1
    });
    assert_eq!(sum(&status["closed_total"]), 1, "{status}");
    assert_eq!(number(&status["handshakes"]["completed"]), 1, "{status}");
    assert_eq!(number(&status["handshakes"]["in_progress"]), 0, "{status}");
    assert_eq!(number(&status["outbox"]["bytes_queued"]), 0, "{status}");
    assert_eq!(number(&status["clients"]["operators"]), 0, "{status}");
    gateway.wait_for_line("tells the end", |line| line.contains(" disconnected "));
    let (_, log) = gateway.stop();
    let lines: Vec<_> = log.iter().filter(|line| line.contains(" disconnected ")).collect();
    assert!(lines.len() == 1 && lines[0].contains(&format!(" reason={reason} ")), "{lines:?}");
}

#[test]
fn the_peak_counts_those_who_were_there_at_once() {
    let gateway = Gateway::start("");
    let mut clients: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    gateway.wait_for_clients(3);
    clients.pop();
    gateway.wait_for_clients(2);
    clients.push(gateway.connect());
    assert_eq!(gateway.wait_for_clients(3)["peak_connections"], 3);
}

#[test]
fn by_a_close_frame() {
    ends_as("normal", "", |_, mut raw| {
        raw.send(&frame(FIN | CLOSE, b"\x03\xe8"));
        assert_eq!(raw.closed(), Some((1000, String::new())));
    });
}

#[test]
fn by_the_end_of_the_stream() {
    ends_as("abnormal", "", |_, raw| drop(raw));
}

#[test]
fn by_the_end_of_one_direction() {
    ends_as("abnormal", "", |_, raw| {
        raw.0.shutdown(std::net::Shutdown::Write).unwrap();
        std::mem::forget(raw);
    });
}

#[test]
fn by_a_reset() {
    ends_as("abnormal", "", |_, raw| {
        SockRef::from(&raw.0).set_linger(Some(Duration::ZERO)).unwrap();
    });
}

#[test]
fn by_a_reset_within_a_message() {
    ends_as("abnormal", "", |_, mut raw| {
        raw.send(&frame(FIN | TEXT, &[b'x'; 5000])[..3000]);
        SockRef::from(&raw.0).set_linger(Some(Duration::ZERO)).unwrap();
    });
}

#[test]
fn by_a_killed_client() {
    leaves_nothing("abnormal", "", |gateway| {
        // A client in a process of its own: bash holds the connection.
        let open = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{}; printf 'GET /ws HTTP/1.1\\r\\nHost: x\\r\\nConnection: Upgrade\\r\\n\
             Upgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n' \
             >&3; read -r line <&3; exec sleep 1000 <&3",
            gateway.addr().port()
        );
        let mut child = Command::new("bash").args(["-c", &open]).stdout(Stdio::null()).spawn().unwrap();
        gateway.wait_for_clients(1);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn by_silence_after_the_very_first_ping() {
    leaves_nothing("pong_timeout", QUICK, |gateway| {
        let mut raw = Raw::connect(gateway);
        assert_eq!(raw.frame().unwrap().0, FIN | PING);
        // It reads, and never answers, not even the close frame.
        let status = gateway.wait_for_status("it is timed out", |status| status["heartbeat"]["timeouts"] == 1);
        assert_eq!(
            (&status["heartbeat"]["pings_sent"], &status["heartbeat"]["pongs_received"]),
            (&1.into(), &0.into())
        );
        assert_eq!(raw.closed(), Some((4100, "pong_timeout".to_owned())));
    });
}

#[test]
fn by_a_client_that_takes_no_answers() {
    let settings = "[limits]\nwrite_timeout = \"300ms\"\nclose_timeout = \"300ms\"";
    ends_as("slow_consumer", settings, |gateway, mut raw| {
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["x"]}"#;
        let request = frame(FIN | TEXT, request.replace('x', &"x".repeat(500_000)).as_bytes());
        raw.0.set_nonblocking(true).unwrap();
        // Until the gateway has paused reading, and then until it has closed.
        wait_until("the gateway gives up", || {
            let _ = raw.0.write(&request);
            gateway.status()["closed_total"]["slow_consumer"] == 1
        });
    });
}

#[test]
fn by_shutdown() {
    let gateway = Gateway::start("[limits]\nclose_timeout = \"20s\"");
    let mut clients: Vec<_> = (0..50).map(|_| gateway.connect()).collect();
    gateway.wait_for_clients(50);
    gateway.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.closed(), (1012, "draining".to_owned()));
    }
    let mut gateway = gateway;
    assert!(gateway.wait().success());
    assert_eq!(gateway.disconnections(50).len(), 50);
    gateway.wait_for_line("counts them", |line| line.ends_with("stopped closed=50 cut=0"));
}

#[test]
fn a_healthy_client_lives_over_many_heartbeats_and_past_the_handshake_timeout() {
    let gateway = Gateway::start(&format!("[handshake]\ntimeout = \"2s\"\n{BRISK}"));
    let mut client = gateway.connect();
    let reader = std::thread::spawn(move || {
        // Reading answers the pings.
        client.closed()
    });
    let enough = |status: &Value| number(&status["heartbeat"]["pongs_received"]) >= 2;
    let status = gateway.wait_for_status("two pongs", enough);
    assert_eq!((&status["clients"]["total_connections"], sum(&status["closed_total"])), (&1.into(), 0), "{status}");
    assert!(status["heartbeat"]["round_trip_p50_microseconds"].is_u64(), "{status}");
    gateway.signal("TERM");
    assert_eq!(reader.join().unwrap().0, 1012);
}

#[test]
fn anything_received_proves_a_client_alive() {
    let gateway = Gateway::start(BRISK);
    let mut raw = Raw::connect(&gateway);
    let note = frame(FIN | TEXT, br#"{"jsonrpc":"2.0","method":"gateway.ping"}"#);
    // Never a pong; pieces of notifications, down to single bytes.
    let mut pieces = note.chunks(1).cycle();
    gateway.wait_for_status("three pings went unanswered", |status| {
        raw.send(pieces.next().unwrap());
        number(&status["heartbeat"]["pings_sent"]) >= 3
    });
    let status = gateway.status();
    assert_eq!((number(&status["clients"]["total_connections"]), sum(&status["closed_total"])), (1, 0), "{status}");
}

#[test]
fn a_client_that_reads_a_large_message_slowly_is_not_cut() {
    let gateway = Gateway::start("[heartbeat]\ninterval = \"2s\"\ntimeout = \"1s\"\n");
    let stream = gateway.tcp();
    SockRef::from(&stream).set_recv_buffer_size(16 * 1024).unwrap();
    let mut raw = Raw::upgrade(stream);
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["x"]}"#;
    raw.send(&frame(FIN | TEXT, request.replace('x', &"x".repeat(900_000)).as_bytes()));
    let mut bytes = [0; 4096];
    let mut total = 0;
    while total < 900_000 {
        let length = std::io::Read::read(&mut raw.0, &mut bytes).unwrap();
        assert!(length > 0, "it was cut after {total} bytes");
        total += length;
        // Slower than the interval and the timeout together.
        std::thread::sleep(Duration::from_millis(16));
    }
    let status = gateway.status();
    assert_eq!((number(&status["clients"]["total_connections"]), sum(&status["closed_total"])), (1, 0), "{status}");
}

#[test]
fn a_process_that_was_stopped_closes_nobody_for_it() {
    let gateway = Gateway::start(BRISK);
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let mut client = gateway.connect();
            std::thread::spawn(move || client.closed())
        })
        .collect();
    gateway.wait_for_status("pings go round", |status| number(&status["heartbeat"]["pongs_received"]) > 20);
    for _ in 0..2 {
        gateway.signal("STOP");
        // Longer than the interval: without care, the deadline of most has passed when it wakes.
        std::thread::sleep(Duration::from_secs(5));
        gateway.signal("CONT");
        let before = number(&gateway.status()["heartbeat"]["pongs_received"]);
        let more = |status: &Value| number(&status["heartbeat"]["pongs_received"]) > before + 20;
        gateway.wait_for_status("pings go round again", more);
    }
    let status = gateway.status();
    assert_eq!((number(&status["clients"]["total_connections"]), sum(&status["closed_total"])), (20, 0), "{status}");
    gateway.signal("TERM");
    for reader in readers {
        assert_eq!(reader.join().unwrap().0, 1012);
    }
}

#[test]
fn no_message_is_logged_at_any_level() {
    let gateway = Gateway::start("log_level = \"trace\"\n");
    let mut client = gateway.connect();
    client.send(r#"{"jsonrpc":"2.0","id":"s3cr3t","method":"gateway.echo","params":["s3cr3t"]}"#);
    assert!(client.receive().contains("s3cr3t"));
    client.send("s3cr3t");
    client.receive();
    client
        .socket
        .close(Some(tungstenite::protocol::CloseFrame { code: 1000.into(), reason: "s3cr3t".into() }))
        .unwrap();
    gateway.wait_for_clients(0);
    gateway.wait_for_line("tells the end", |line| line.contains(" disconnected "));
    let (_, log) = gateway.stop();
    assert!(!log.iter().any(|line| line.contains("s3cr3t")), "{log:#?}");
}

#[test]
fn requests_of_a_client_that_reads_late_slow_it_down_and_close_nothing() {
    let gateway = Gateway::start("[limits]\noutbox_max_messages = 10");
    let stream = gateway.tcp();
    let mut writer = stream.try_clone().unwrap();
    let mut raw = Raw::upgrade(stream);
    const REQUESTS: usize = 20_000;
    let sending = std::thread::spawn(move || {
        for id in 0..REQUESTS {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"gateway.echo","params":["{}"]}}"#, "x".repeat(500));
            writer.write_all(&frame(FIN | TEXT, text.as_bytes())).unwrap();
        }
    });
    // Far more answers than the outbox and all buffers hold.
    wait_until("the gateway has stopped reading", || {
        let before = number(&gateway.status()["messages"]["in"]);
        std::thread::sleep(Duration::from_millis(50));
        before > 100 && number(&gateway.status()["messages"]["in"]) == before
    });
    for id in 0..REQUESTS {
        let (_, answer) = raw.receive().unwrap();
        assert!(answer.ends_with(format!("\"id\":{id}}}").as_bytes()), "answer {id}");
    }
    sending.join().unwrap();
    assert_eq!(sum(&gateway.status()["closed_total"]), 0);
}

/// Opens and closes connections without looking, until the descriptors would run out if any were lost.
#[test]
fn descriptors_come_back() {
    let gateway = Gateway::start("");
    let before = number(&gateway.status()["process"]["open_descriptors"]);
    for round in 0..2_000 {
        let stream = TcpStream::connect(gateway.addr()).unwrap();
        if round % 2 == 0 {
            drop(Raw::upgrade(stream));
        }
    }
    gateway.wait_for_status("all are closed", |status| {
        status["clients"]["total_connections"] == 0 && number(&status["process"]["open_descriptors"]) == before
    });
}

#[test]
fn a_large_message_leaves_no_memory_behind_with_its_client() {
    let gateway = Gateway::start("");
    let resident = || number(&gateway.status()["process"]["resident_bytes"]);
    let large = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["x"]}"#.replace('x', &"x".repeat(900_000));
    let mut clients: Vec<_> = (0..60).map(|_| gateway.connect()).collect();
    clients[0].send(&large);
    assert!(clients[0].receive().len() > 900_000);
    let before = resident();
    for client in &mut clients {
        client.send(&large);
        assert!(client.receive().len() > 900_000);
    }
    // 60 clients with 1.8 MB each would be 108 MB more.
    gateway.wait_for_status("it is given back", |_| resident() < before + 30_000_000);
}
