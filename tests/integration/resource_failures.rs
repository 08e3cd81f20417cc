//! Resources that run out, fail or could leak: descriptors, memory, the log pipe, the network.

use crate::common::http::exchange;
use crate::common::namespace::Namespace;
use crate::common::process::Process;
use crate::common::raw_client::RawClient;
use crate::common::tools::require;
use crate::common::{Client, Gateway, TIMEOUT, wait_for, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use test_support::frames::{FIN, TEXT, client_frame};
use test_support::proc;
use tungstenite::Error;

fn assert_answers(client: &mut Client) {
    assert_eq!(client.call("gateway.ping")["result"], "pong");
}

#[test]
fn exhausted_descriptors_pause_accepting_and_leave_clients_alone() {
    let Some(prlimit) = require("prlimit") else { return };
    let gateway = Gateway::start("");
    let mut client = gateway.connect();
    let open = gateway.open_descriptors().as_u64().unwrap();
    let set_limit = |limit: u64| {
        let limit = format!("--nofile={limit}:");
        let status = Command::new(&prlimit).args(["--pid", &gateway.pid().to_string(), &limit]).status();
        assert!(status.unwrap().success());
    };
    // The count includes the connection over which it was read, so with this limit not even one can be accepted.
    set_limit(open - 1);
    let is_warning = |line: &str| line.contains("WARN") && line.contains("accept");
    let waiting: Vec<_> = (0..5).map(|_| TcpStream::connect(gateway.addr()).unwrap()).collect();
    gateway.wait_for_line("the warning", is_warning);
    for _ in 0..100 {
        assert_answers(&mut client);
    }
    let cpu_time = || proc::cpu_time(gateway.pid()).unwrap();
    let before = cpu_time();
    thread::sleep(Duration::from_millis(1_500));
    let used = cpu_time() - before;
    assert!(used < Duration::from_millis(500), "the accept loop spins: {used:?} in 1.5 s");
    assert_eq!(gateway.log().iter().filter(|line| is_warning(line)).count(), 1, "one warning a minute");
    set_limit(open + 100);
    assert_answers(&mut gateway.connect());
    assert_answers(&mut client);
    drop(waiting);
}

/// A gateway, its listeners and its clients share the limit.
#[test]
fn small_descriptor_limit_leaves_three_quarters_for_clients() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 80 && exec \"$0\" \"$@\""]).arg(Gateway::binary());
    let gateway = Gateway::start_with(command, "");
    // The first connections are the clients: one that has just sent a request to `/status` may still count.
    let mut clients: Vec<_> = (0..60).map(|_| gateway.connect()).collect();
    assert_eq!(gateway.wait_for_clients(60)["max_connections"], 60);
    clients.iter_mut().for_each(assert_answers);
    assert!(matches!(gateway.connect_as(""), Err(Error::Http(response)) if response.status() == 503));
    assert_eq!(gateway.status()["clients"]["total_connections"], 60);
    assert!(!gateway.log().iter().any(|line| line.contains("accept")), "{:#?}", gateway.log());
}

#[test]
fn descriptors_of_ended_connections_are_closed() {
    let gateway = Gateway::start("");
    let before = gateway.open_descriptors();
    for round in 0..2_000 {
        let stream = TcpStream::connect(gateway.addr()).unwrap();
        if round % 2 == 0 {
            drop(RawClient::upgrade(stream, ""));
        }
    }
    gateway.wait_for_descriptors(&before);
}

#[test]
fn memory_of_large_messages_is_returned() {
    let gateway = Gateway::start("");
    let resident = || proc::resident_bytes(gateway.pid()).unwrap();
    let large = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["x"]}"#.replace('x', &"x".repeat(900_000));
    let mut clients: Vec<_> = (0..60).map(|_| gateway.connect()).collect();
    let echo = |client: &mut Client| {
        client.send(&large);
        assert!(client.receive().len() > 900_000);
    };
    echo(&mut clients[0]);
    let before = resident();
    clients.iter_mut().for_each(echo);
    // 60 clients that kept 1.8 MB each would be 108 MB.
    wait_until("returned memory", || resident() < before + 30_000_000);
}

#[test]
fn gateway_stops_reading_from_a_client_that_does_not_read_and_answers_everything_later() {
    const REQUESTS: usize = 20_000;
    let gateway = Gateway::start("[limits]\nmax_message_bytes = 2000\noutbox_max_bytes = 10000");
    let stream = gateway.tcp();
    let mut writer = stream.try_clone().unwrap();
    let mut raw = RawClient::upgrade(stream, "");
    let sender = thread::spawn(move || {
        for id in 0..REQUESTS {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"gateway.echo","params":["{}"]}}"#, "x".repeat(500));
            writer.write_all(&client_frame(FIN | TEXT, text.as_bytes())).unwrap();
        }
    });
    // The responses exceed the outbox and all socket buffers.
    let received = || gateway.status()["messages"]["in"].as_u64().unwrap();
    wait_until("the gateway pauses reading", || {
        let before = received();
        thread::sleep(Duration::from_millis(50));
        before > 100 && received() == before
    });
    for id in 0..REQUESTS {
        let (_, response) = raw.receive().unwrap();
        assert!(response.ends_with(format!("\"id\":{id}}}").as_bytes()), "response {id}");
    }
    sender.join().unwrap();
    assert_eq!(gateway.status()["clients"]["total_connections"], 1);
}

/// A gateway whose standard error is left to the test, which may read, ignore or close it.
struct LoggingGateway {
    child: Child,
    port: u16,
}

impl LoggingGateway {
    fn start() -> (LoggingGateway, BufReader<std::process::ChildStderr>) {
        let mut child = Command::new(Gateway::binary())
            .args(["--listen", "127.0.0.1:0", "--log-level", "debug"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut gateway = LoggingGateway { child, port: 0 };
        let mut line = String::new();
        while !line.contains("listening addr=") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the gateway doesn't listen");
        }
        gateway.port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        (gateway, log)
    }

    /// Head and body of the response to a GET.
    fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    fn dropped_lines(&self) -> u64 {
        let status: Value = serde_json::from_str(&self.get("/status").1).unwrap();
        status["log_lines_dropped"].as_u64().unwrap()
    }

    fn stop(mut self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        let status = wait_for("the exit", || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for LoggingGateway {
    fn drop(&mut self) {
        // Fails if it has exited.
        let _ = self.child.kill();
    }
}

#[test]
fn closed_log_pipe_drops_lines_and_does_not_panic() {
    let (gateway, log) = LoggingGateway::start();
    drop(log);
    wait_until("dropped lines", || {
        assert!(gateway.get("/ws").0.starts_with("HTTP/1.1 426 "));
        gateway.dropped_lines() > 3
    });
    gateway.stop();
}

#[test]
fn log_reader_that_stops_reading_does_not_block_the_gateway() {
    let (gateway, log) = LoggingGateway::start();
    // The pipe holds 64 KiB and the queue 4,096 lines, so some of 10,000 lines are dropped.
    let dropped = (0..10_000).any(|client| {
        // Two lines: its connect and its disconnect.
        drop(RawClient::upgrade(TcpStream::connect(("127.0.0.1", gateway.port)).unwrap(), ""));
        client % 200 == 0 && gateway.dropped_lines() > 0
    });
    assert!(dropped, "no line was dropped");
    gateway.stop();
    drop(log);
}

/// As if the cable were pulled: both ends are alive, and no packet arrives, not even a FIN.
#[test]
fn peer_without_a_network_ends_as_pong_timeout() {
    let (Some(websocat), Some(namespace)) = (require("websocat"), Namespace::create()) else { return };
    let gateway =
        Gateway::start_with(namespace.command(Gateway::binary()), "[heartbeat]\ninterval = \"3s\"\ntimeout = \"3s\"\n");
    let descriptors = gateway.open_descriptors();
    // The client in the namespace answers pings while they arrive.
    let url = format!("ws://{}/ws", gateway.addr());
    let mut client = Process::start(namespace.command(&websocat).args(["-n", &url]));
    gateway.wait_for_status("a pong", |status| status["heartbeat"]["pongs_received"].as_u64() >= Some(1));
    namespace.ip(&["link", "set", "lo", "down"]);
    let status = gateway.wait_for_descriptors(&descriptors);
    assert_eq!(status["closed_total"]["pong_timeout"], 1, "{status}");
    let lines = gateway.wait_for_disconnects(1);
    assert!(lines.len() == 1 && lines[0].contains(" reason=pong_timeout code=4100 clean=false "), "{lines:?}");
    assert!(client.is_running(), "the client has noticed the loss");
}
