//! websocat as the client.

use crate::common::credential::Credential;
use crate::common::process::Process;
use crate::common::{Gateway, tools};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

/// websocat with these options; `-n` keeps it there when its input ends.
fn command(websocat: &Path, gateway: &Gateway, options: &[&str]) -> Command {
    let mut command = Command::new(websocat);
    command.arg("-n").args(options).arg(format!("ws://{}/ws", gateway.addr()));
    command
}

fn connect(websocat: &Path, gateway: &Gateway, options: &[&str]) -> Process {
    Process::start(&mut command(websocat, gateway, options))
}

fn call(websocat: &mut Process, method: &str, params: Value) -> Value {
    websocat.say(&json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params}).to_string());
    let answer = websocat.hear_json();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(method)), "{answer}");
    answer["result"].clone()
}

#[test]
fn every_method_answers() {
    let Some(websocat) = tools::require("websocat") else { return };
    let gateway = Gateway::start("");
    let mut websocat = connect(&websocat, &gateway, &[]);
    let me = call(&mut websocat, "gateway.whoami", json!({}));
    assert_eq!(me["presence_key"], "operator:anonymous");
    assert_eq!(me["conn_id"].as_str().map(str::len), Some(36), "{me}");
    assert_eq!(call(&mut websocat, "gateway.ping", json!([])), "pong");
    let params = json!({"text": "grüß dich", "list": [1, 2.5, null]});
    assert_eq!(call(&mut websocat, "gateway.echo", params.clone()), params);
    let methods = call(&mut websocat, "gateway.methods", json!({}));
    for method in ["gateway.echo", "gateway.health", "gateway.methods", "gateway.ping", "gateway.whoami"] {
        assert!(methods.as_array().is_some_and(|all| all.contains(&json!(method))), "{methods}");
    }
    assert_eq!(call(&mut websocat, "gateway.health", json!({}))["total_connections"], 1);
}

#[test]
fn ten_thousand_requests_are_answered_in_order() {
    const REQUESTS: u64 = 10_000;
    let Some(websocat) = tools::require("websocat") else { return };
    let gateway = Gateway::start("");
    let mut websocat = connect(&websocat, &gateway, &[]);
    let mut stdin = BufWriter::new(websocat.take_stdin());
    let params = |id: u64| json!({"n": id, "text": format!("{:x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15))});
    let writer = thread::spawn(move || {
        for id in 0..REQUESTS {
            let request = json!({"jsonrpc": "2.0", "id": id, "method": "gateway.echo", "params": params(id)});
            writeln!(stdin, "{request}").expect("websocat reads");
        }
        // Still open, though all is sent.
        stdin.into_inner().expect("websocat reads")
    });
    for id in 0..REQUESTS {
        assert_eq!(websocat.hear_json(), json!({"jsonrpc": "2.0", "id": id, "result": params(id)}));
    }
    let _stdin = writer.join().expect("all is written");
    let status = gateway.wait_for_status("all is counted", |status| {
        ["in", "out"].iter().all(|way| status["messages"][way] == REQUESTS)
    });
    assert_eq!(status["clients"]["total_connections"], 1);
}

#[test]
fn its_pings_are_answered() {
    let Some(websocat) = tools::require("websocat") else { return };
    let gateway = Gateway::start("");
    let options = ["--ping-interval", "1", "--ping-timeout", "20", "--print-ping-rtts"];
    let mut websocat = connect(&websocat, &gateway, &options);
    websocat.wait_for_complaint("a round-trip time", |line| line.starts_with("RTT "));
    assert_eq!(call(&mut websocat, "gateway.ping", json!([])), "pong");
    assert_eq!(gateway.status()["clients"]["total_connections"], 1);
}

#[test]
fn it_sees_why_the_gateway_closes() {
    let Some(websocat) = tools::require("websocat") else { return };
    let closed = |code: u16, reason: &str| {
        let frame = format!("CloseData {{ status_code: {code}, reason: \"{reason}\" }}");
        move |line: &str| line.contains(&frame)
    };
    let gateway = Gateway::start("");
    let mut binary = connect(&websocat, &gateway, &["-vv", "--binary"]);
    binary.say("these are bytes");
    binary.wait_for_complaint("1003", closed(1003, "unsupported_data"));
    drop(binary);
    gateway.wait_for_clients(0);
    // With -E it leaves at once when the gateway has closed.
    let mut draining = connect(&websocat, &gateway, &["-vv", "-E"]);
    gateway.wait_for_clients(1);
    let (status, log) = gateway.stop();
    assert!(status.success(), "{log:#?}");
    draining.wait_for_complaint("1012", closed(1012, "draining"));
    draining.wait();
}

/// Many programs at once; killed when dropped.
struct Crowd(Vec<Child>);

impl Crowd {
    fn kill(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for mut child in self.0.drain(..) {
            let _ = child.wait();
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn two_hundred_come_and_are_killed() {
    const CROWD: usize = 200;
    let Some(websocat) = tools::require("websocat") else { return };
    let gateway = Gateway::start("");
    let mut crowd = Crowd(Vec::new());
    for _ in 0..CROWD {
        let mut command = command(&websocat, &gateway, &[]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        crowd.0.push(command.spawn().expect("websocat starts"));
    }
    let status = gateway.wait_for_clients(CROWD as u64);
    assert_eq!(status["clients"]["operators"], CROWD);
    gateway.wait_for_status("the peak is theirs", |status| status["peak_connections"] == CROWD);
    crowd.kill();
    let status = gateway.wait_for_clients(0);
    assert_eq!(status["peak_connections"], CROWD);
    assert_eq!(status["closed_total"]["abnormal"], CROWD);
}

#[test]
fn a_token_comes_as_a_header_or_as_a_subprotocol() {
    let Some(websocat) = tools::require("websocat") else { return };
    let ann = Credential::new("ann", "operator");
    let gateway = Gateway::start(&ann.settings);
    let header = format!("-H=Authorization: {}", ann.bearer());
    let mut by_header = connect(&websocat, &gateway, &[&header]);
    assert_eq!(call(&mut by_header, "gateway.whoami", json!({}))["presence_key"], "operator:ann");
    let protocols = format!("aisopod.v1, bearer.{}", ann.token);
    let mut by_protocol = connect(&websocat, &gateway, &["-v", "--protocol", &protocols]);
    assert_eq!(call(&mut by_protocol, "gateway.whoami", json!({}))["presence_key"], "operator:ann");
    by_protocol.wait_for_complaint("the subprotocol", |line| line == ", sec-websocket-protocol: aisopod.v1");
    let mut wrong = connect(&websocat, &gateway, &["-H=Authorization: Bearer wrong"]);
    wrong.wait_for_complaint("the refusal", |line| line.contains("401 Unauthorized"));
    assert!(!wrong.wait().success());
    assert_eq!(gateway.status()["clients"]["total_connections"], 2);
}
