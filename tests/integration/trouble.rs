//! What goes wrong around the gateway: descriptors run out, the log's reader is gone or stuck, the network vanishes.

use crate::common::tools::{require, require_root};
use crate::common::{Client, Gateway, PATIENCE, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn still_answers(client: &mut Client) {
    assert_eq!(client.call("gateway.ping")["result"], "pong");
}

#[test]
fn without_descriptors_the_clients_there_notice_nothing() {
    let Some(prlimit) = require("prlimit") else { return };
    let gateway = Gateway::start("");
    let mut client = gateway.connect();
    let open = gateway.status()["process"]["open_descriptors"].as_u64().unwrap();
    let set_limit = |limit: u64| {
        let limit = format!("--nofile={limit}:");
        let status = Command::new(&prlimit).args(["--pid", &gateway.pid().to_string(), &limit]).status();
        assert!(status.unwrap().success());
    };
    // The scrape's own connection is in the count, so nothing more can be accepted without a free one.
    set_limit(open - 1);
    let waiting: Vec<_> = (0..5).map(|_| TcpStream::connect(gateway.addr()).unwrap()).collect();
    gateway.wait_for_line("says so", |line| line.contains("WARN") && line.contains("accepting fails"));
    for _ in 0..100 {
        still_answers(&mut client);
    }
    let ticks_before = cpu_ticks(gateway.pid());
    std::thread::sleep(Duration::from_millis(1_500));
    let spent = cpu_ticks(gateway.pid()) - ticks_before;
    assert!(spent < 50, "it spins: {spent} of 150 ticks");
    assert_eq!(gateway.log().iter().filter(|line| line.contains("accepting fails")).count(), 1, "once a minute");
    set_limit(open + 100);
    still_answers(&mut gateway.connect());
    still_answers(&mut client);
    drop(waiting);
}

/// User and system time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// A gateway whose standard error is ours to mistreat.
struct Loud {
    child: Child,
    port: u16,
}

impl Loud {
    fn start() -> (Loud, BufReader<std::process::ChildStderr>) {
        let mut child = Command::new(Gateway::binary())
            .args(["--listen", "127.0.0.1:0", "--log-level", "debug"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut gateway = Loud { child, port: 0 };
        let mut line = String::new();
        while !line.contains("listening addr=") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it listens");
        }
        gateway.port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        (gateway, log)
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn dropped_lines(&self) -> u64 {
        let answer = self.get("/status");
        let status: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        status["log_lines_dropped"].as_u64().unwrap()
    }

    fn end(mut self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        let mut ended = None;
        wait_until("it ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(0), "a clean end, without a log");
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
    }
}

#[test]
fn a_log_reader_that_is_gone_is_no_panic() {
    let (gateway, log) = Loud::start();
    drop(log);
    wait_until("lines are dropped and counted", || {
        assert!(gateway.get("/ws").starts_with("HTTP/1.1 426 "));
        gateway.dropped_lines() > 3
    });
    gateway.end();
}

#[test]
fn a_log_reader_that_is_stuck_holds_nothing_up() {
    let (gateway, log) = Loud::start();
    // The pipe holds 64 KiB, the queue 4,096 lines; of twice as many as both hold some are dropped and counted.
    let dropped = (0..10_000).any(|request| {
        assert!(gateway.get("/ws").starts_with("HTTP/1.1 426 "));
        request % 200 == 0 && gateway.dropped_lines() > 0
    });
    assert!(dropped, "10,000 lines had room");
    gateway.end();
    drop(log);
}

/// A network namespace of the test's own; gone when dropped.
struct Namespace(String);

impl Namespace {
    fn create(ip: &Path) -> Namespace {
        let name = format!("aisopod-test-{}", std::process::id());
        let status = Command::new(ip).args(["netns", "add", &name]).status().unwrap();
        assert!(status.success());
        Namespace(name)
    }

    fn loopback(&self, ip: &Path, state: &str) {
        let status = Command::new(ip).args(["-n", &self.0, "link", "set", "lo", state]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What remains of it is reported by nothing but a leftover name.
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

/// The cable is pulled: both ends live, and no packet goes between them any more. Not even a FIN.
#[test]
fn a_peer_that_vanishes_without_a_packet_is_noticed() {
    let (Some(ip), Some(websocat)) = (require("ip"), require("websocat")) else { return };
    let Some(()) = require_root("a network namespace") else { return };
    let namespace = Namespace::create(&ip);
    namespace.loopback(&ip, "up");
    let mut command = Command::new(&ip);
    command.args(["netns", "exec", &namespace.0]).arg(Gateway::binary());
    let gateway = Gateway::start_by(command, "[heartbeat]\ninterval = \"3s\"\ntimeout = \"3s\"\n");
    let descriptors = gateway.status()["process"]["open_descriptors"].clone();
    // A client within the namespace, which answers pings for as long as they come.
    let url = format!("ws://{}/ws", gateway.addr());
    let mut client = Command::new(&ip)
        .args(["netns", "exec", &namespace.0])
        .arg(&websocat)
        .args(["-n", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    gateway.wait_for_status("it answers pings", |status| status["heartbeat"]["pongs_received"].as_u64() >= Some(1));
    namespace.loopback(&ip, "down");
    let status = gateway.wait_for_status("it is noticed", |status| {
        status["clients"]["total_connections"] == 0 && status["process"]["open_descriptors"] == descriptors
    });
    assert_eq!(status["closed_total"]["pong_timeout"], 1, "{status}");
    let lines = gateway.disconnections(1);
    assert!(lines.len() == 1 && lines[0].contains(" reason=pong_timeout code=4100 clean=false "), "{lines:?}");
    assert!(client.try_wait().unwrap().is_none(), "the client has noticed nothing");
    client.kill().unwrap();
    client.wait().unwrap();
}
