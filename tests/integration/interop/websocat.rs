//! websocat, a WebSocket client for the command line.

use crate::common::credential::Credential;
use crate::common::process::Process;
use crate::common::{Gateway, tools};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

/// websocat with these options. With `-n` the end of its input doesn't close the connection.
fn command(websocat: &Path, gateway: &Gateway, options: &[&str]) -> Command {
    let mut command = Command::new(websocat);
    command.arg("-n").args(options).arg(format!("ws://{}/ws", gateway.addr()));
    command
}

fn connect(websocat: &Path, gateway: &Gateway, options: &[&str]) -> Process {
    Process::start(&mut command(websocat, gateway, options))
}

fn call(websocat: &mut Process, method: &str, params: Value) -> Value {
    websocat.write_line(&json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params}).to_string());
    let answer = websocat.read_json();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(method)), "{answer}");
    answer["result"].clone()
}

#[test]
fn websocat_gets_ten_thousand_responses_in_order() {
    const REQUESTS: u64 = 10_000;
    let Some(websocat) = tools::require("websocat") else { return };
    let gateway = Gateway::start("");
    let mut websocat = connect(&websocat, &gateway, &[]);
    let mut stdin = BufWriter::new(websocat.take_stdin());
    let params = |id: u64| json!({"n": id, "text": format!("{:x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15))});
    let writer = thread::spawn(move || {
        for id in 0..REQUESTS {
            let request = json!({"jsonrpc": "2.0", "id": id, "method": "gateway.echo", "params": params(id)});
            writeln!(stdin, "{request}").expect("websocat reads its input");
        }
        // Keeps the input open.
        stdin.into_inner().expect("websocat reads its input")
    });
    for id in 0..REQUESTS {
        assert_eq!(websocat.read_json(), json!({"jsonrpc": "2.0", "id": id, "result": params(id)}));
    }
    let _stdin = writer.join().expect("no panic");
    let status = gateway.wait_for_status("all messages counted", |status| {
        ["in", "out"].iter().all(|way| status["messages"][way] == REQUESTS)
    });
    assert_eq!(status["clients"]["total_connections"], 1);
}

#[test]
fn websocat_gets_pongs_to_its_pings() {
    let Some(websocat) = tools::require("websocat") else { return };
    let gateway = Gateway::start("");
    let options = ["--ping-interval", "1", "--ping-timeout", "20", "--print-ping-rtts"];
    let mut websocat = connect(&websocat, &gateway, &options);
    websocat.wait_for_stderr("a round-trip time", |line| line.starts_with("RTT "));
    assert_eq!(call(&mut websocat, "gateway.ping", json!([])), "pong");
    assert_eq!(gateway.status()["clients"]["total_connections"], 1);
}

#[test]
fn websocat_shows_close_code_and_reason() {
    let Some(websocat) = tools::require("websocat") else { return };
    let closed = |code: u16, reason: &str| {
        let frame = format!("CloseData {{ status_code: {code}, reason: \"{reason}\" }}");
        move |line: &str| line.contains(&frame)
    };
    let gateway = Gateway::start("");
    let mut binary = connect(&websocat, &gateway, &["-vv", "--binary"]);
    binary.write_line("bytes");
    binary.wait_for_stderr("1003", closed(1003, "unsupported_data"));
    drop(binary);
    gateway.wait_for_clients(0);
    // With -E it exits as soon as the gateway has closed the connection.
    let mut draining = connect(&websocat, &gateway, &["-vv", "-E"]);
    gateway.wait_for_clients(1);
    let (status, log) = gateway.stop();
    assert!(status.success(), "{log:#?}");
    draining.wait_for_stderr("1012", closed(1012, "draining"));
    draining.wait();
}

/// Child processes. Killed when dropped.
struct Children(Vec<Child>);

impl Children {
    fn kill(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for mut child in self.0.drain(..) {
            let _ = child.wait();
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn two_hundred_killed_websocats_are_all_abnormal() {
    const CLIENTS: usize = 200;
    let Some(websocat) = tools::require("websocat") else { return };
    let gateway = Gateway::start("");
    let mut children = Children(Vec::new());
    for _ in 0..CLIENTS {
        let mut command = command(&websocat, &gateway, &[]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        children.0.push(command.spawn().expect("websocat starts"));
    }
    let status = gateway.wait_for_clients(CLIENTS as u64);
    assert_eq!(status["clients"]["operators"], CLIENTS);
    gateway.wait_for_status("the peak", |status| status["peak_connections"] == CLIENTS);
    children.kill();
    let status = gateway.wait_for_clients(0);
    assert_eq!(status["peak_connections"], CLIENTS);
    assert_eq!(status["closed_total"]["abnormal"], CLIENTS);
}

#[test]
fn websocat_sends_its_token_as_header_or_subprotocol() {
    let Some(websocat) = tools::require("websocat") else { return };
    let ann = Credential::new("ann", "operator");
    let gateway = Gateway::start(&ann.settings);
    let header = format!("-H=Authorization: {}", ann.bearer());
    let mut by_header = connect(&websocat, &gateway, &[&header]);
    assert_eq!(call(&mut by_header, "gateway.whoami", json!({}))["presence_key"], "operator:ann");
    let protocols = format!("aisopod.v1, bearer.{}", ann.token);
    let mut by_protocol = connect(&websocat, &gateway, &["-v", "--protocol", &protocols]);
    assert_eq!(call(&mut by_protocol, "gateway.whoami", json!({}))["presence_key"], "operator:ann");
    by_protocol.wait_for_stderr("the subprotocol", |line| line == ", sec-websocket-protocol: aisopod.v1");
    let mut wrong = connect(&websocat, &gateway, &["-H=Authorization: Bearer wrong"]);
    wrong.wait_for_stderr("the status", |line| line.contains("401 Unauthorized"));
    assert!(!wrong.wait().success());
    assert_eq!(gateway.status()["clients"]["total_connections"], 2);
}
