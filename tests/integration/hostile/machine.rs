//! What a machine and its network do to a gateway.

use super::assert_served;
use crate::common::Gateway;
use crate::common::namespace::Namespace;
use crate::common::process::Process;
use crate::common::raw_client::RawClient;
use crate::common::tools::require;
use crate::common::{TIMEOUT, wait_for, wait_until};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use test_support::frames::{FIN, PING, PONG, client_frame};

/// A heartbeat of seconds, so that its timeouts are noticed.
const HEARTBEAT: &str = "[heartbeat]\ninterval = \"1s\"\ntimeout = \"1s\"";

/// As if the log were a file on a full disk: each write to `/dev/full` fails.
#[test]
fn full_disk_drops_log_lines_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("gateway.sock");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut gateway = Command::new(Gateway::binary())
        .arg(format!("--listen=unix:{}", socket.display()))
        .stderr(Stdio::from(full))
        .spawn()
        .unwrap();
    let get = |path: &str| {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        Some(response)
    };
    wait_for("an answer", || get("/healthz"));
    for _ in 0..20 {
        assert!(get("/ws").unwrap().starts_with("HTTP/1.1 426 "));
    }
    wait_until("dropped lines", || !get("/status").unwrap().contains(r#""log_lines_dropped":0"#));
    assert!(Command::new("kill").arg(gateway.id().to_string()).status().unwrap().success());
    assert!(wait_for("the exit", || gateway.try_wait().unwrap()).success());
}

#[test]
fn clock_that_is_set_back_and_forth_changes_nothing_for_clients() {
    let (Some(_), Some(websocat)) = (require("faketime"), require("websocat")) else { return };
    let multiarch = std::fs::read_dir("/usr/lib").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let mut libraries = multiarch.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists());
    let library = libraries.next().expect("the library of the package faketime");
    let dir = tempfile::tempdir().unwrap();
    let clock = dir.path().join("clock");
    std::fs::write(&clock, "+0").unwrap();
    // The monotonic clock isn't changed, as when a clock is set. Without the program faketime, which would run the gateway
    // as a child that outlives it.
    let mut command = Command::new(Gateway::binary());
    command.env("LD_PRELOAD", library).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
    let gateway = Gateway::start_with(command, HEARTBEAT);
    let mut client = Process::start(Command::new(websocat).args(["-n", &format!("ws://{}/ws", gateway.addr())]));
    for offset in ["-1y", "+1y", "+0"] {
        std::fs::write(&clock, offset).unwrap();
        let pongs = gateway.status()["heartbeat"]["pongs_received"].as_u64();
        let status = gateway.wait_for_status("three more pongs", |status| {
            status["heartbeat"]["pongs_received"].as_u64() >= pongs.map(|pongs| pongs + 3)
        });
        assert_eq!((&status["heartbeat"]["timeouts"], &status["clients"]["total_connections"]), (&0.into(), &1.into()));
        assert!(status["uptime_seconds"].as_u64() < Some(3600), "{status:#}");
        assert_served(&mut gateway.connect());
        gateway.wait_for_clients(1);
    }
    assert!(client.is_running());
}

/// A network with a delay, which a relay adds, since not every kernel can.
#[test]
fn clients_behind_two_seconds_of_delay_stay_connected() {
    let gateway = Gateway::start("[heartbeat]\ninterval = \"6s\"\ntimeout = \"6s\"");
    let relay = relay(gateway.addr(), Duration::from_secs(2));
    let stream = TcpStream::connect(relay).unwrap();
    let mut client = RawClient::upgrade(stream, "");
    gateway.wait_for_clients(1);
    // Answers pings, four seconds after they were sent.
    for _ in 0..2 {
        let (first, payload) = client.receive_any().expect("a ping");
        assert_eq!(first, FIN | PING);
        client.send(&client_frame(FIN | PONG, &payload));
    }
    gateway.wait_for_status("two pongs", |status| status["heartbeat"]["pongs_received"] == 2);
    assert_eq!(gateway.status()["heartbeat"]["timeouts"], 0);
}

/// Accepts connections and passes on what is sent in either direction, after a delay. Returns its address.
fn relay(target: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(target).unwrap());
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || pass_on(from, to, delay));
            }
        }
    });
    addr
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    let writing = thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if sender.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
            break;
        }
    }
    drop(sender);
    let _ = writing.join();
}

#[test]
fn clients_survive_a_partition_that_heals_before_the_pong_is_due() {
    let (Some(websocat), Some(namespace)) = (require("websocat"), Namespace::create()) else { return };
    let settings = "[heartbeat]\ninterval = \"20s\"\ntimeout = \"20s\"";
    let gateway = Gateway::start_with(namespace.command(Gateway::binary()), settings);
    let url = format!("ws://{}/ws", gateway.addr());
    let mut client = Process::start(namespace.command(&websocat).args(["-E", &url]));
    gateway.wait_for_clients(1);
    namespace.ip(&["link", "set", "lo", "down"]);
    client.write_line(r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#);
    thread::sleep(Duration::from_secs(2));
    namespace.ip(&["link", "set", "lo", "up"]);
    assert_eq!(client.read_json()["result"], "pong");
    assert_eq!(gateway.status()["clients"]["total_connections"], 1);
}
