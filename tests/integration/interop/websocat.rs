//! websocat, a WebSocket client for the command line.

use crate::common::process::Process;
use crate::common::{Gateway, tools};
use std::process::Command;

/// websocat with these options, if it is installed. With `-n` the end of its input doesn't close the connection.
fn connect(gateway: &Gateway, options: &[&str]) -> Option<Process> {
    let mut command = Command::new(tools::require("websocat")?);
    Some(Process::start(command.arg("-n").args(options).arg(format!("ws://{}/ws", gateway.addr()))))
}

#[test]
fn websocat_gets_pongs_to_its_pings() {
    let gateway = Gateway::start("");
    let options = ["--ping-interval", "1", "--ping-timeout", "20", "--print-ping-rtts"];
    let Some(mut websocat) = connect(&gateway, &options) else { return };
    websocat.wait_for_stderr("a round-trip time", |line| line.starts_with("RTT "));
    websocat.write_line(r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#);
    assert_eq!(websocat.read_json()["result"], "pong");
    assert_eq!(gateway.status()["clients"]["total_connections"], 1);
}

#[test]
fn websocat_shows_close_code_and_reason() {
    let closed = |code: u16, reason: &str| {
        let frame = format!("CloseData {{ status_code: {code}, reason: \"{reason}\" }}");
        move |line: &str| line.contains(&frame)
    };
    let gateway = Gateway::start("");
    let Some(mut binary) = connect(&gateway, &["-vv", "--binary"]) else { return };
    binary.write_line("bytes");
    binary.wait_for_stderr("1003", closed(1003, "unsupported_data"));
    drop(binary);
    gateway.wait_for_clients(0);
    // With -E it exits as soon as the gateway has closed the connection.
    let mut draining = connect(&gateway, &["-vv", "-E"]).expect("websocat");
    gateway.wait_for_clients(1);
    let (status, log) = gateway.stop();
    assert!(status.success(), "{log:#?}");
    draining.wait_for_stderr("1012", closed(1012, "draining"));
    draining.wait();
}
