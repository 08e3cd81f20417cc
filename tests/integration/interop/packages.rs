//! The Python package `websockets` and the Node package `ws`, each in a script that reads commands line by line.

use crate::common::process::Process;
use crate::common::test_gateway::{TestGateway, token};
use crate::common::{Gateway, tools};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

#[derive(Clone, Copy)]
enum Package {
    Websockets,
    Ws,
}

impl Package {
    /// The script, if everything that it needs is installed.
    fn command(self) -> Option<Command> {
        let (program, package, script) = match self {
            Package::Websockets => ("python3", "websockets", "python_websockets.py"),
            Package::Ws => ("node", "ws", "node_ws.mjs"),
        };
        let (program, _) = (tools::require(program)?, tools::require(package)?);
        let mut command = Command::new(program);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/interop").join(script));
        command.env("PYTHONPATH", tools::python_packages()).env("NODE_PATH", tools::node_packages());
        Some(command)
    }

    /// Starts a client. Its first line is the result of the handshake.
    fn connect(self, gateway: &Gateway, credential: &[&str]) -> Option<(Process, Value)> {
        let mut command = self.command()?;
        let client = Process::start(command.arg(format!("ws://{}/ws", gateway.addr())).args(credential));
        let first = client.read_json();
        Some((client, first))
    }

    fn open(self, gateway: &Gateway) -> Option<Process> {
        let (client, first) = self.connect(gateway, &[])?;
        assert_eq!(first, json!({"protocol": ""}));
        Some(client)
    }
}

fn call(client: &mut Process, method: &str) -> Value {
    client.write_line(&format!("call {method}"));
    let answer = client.read_json()["answer"].clone();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(method)), "{answer}");
    answer["result"].clone()
}

/// Checks the close code and reason that the client sees, and its exit.
fn assert_closed(client: &mut Process, code: u16, reason: &str) {
    assert_eq!(client.read_json(), json!({"code": code, "reason": reason}));
    assert!(client.wait().success(), "{:#?}", client.stderr());
}

// The tests. They return `None` when they are skipped.

fn token_is_sent_as_header_or_subprotocol(package: Package) -> Option<()> {
    let gateway = TestGateway::start(&[("ann", "operator", "")], "");
    for (option, protocol) in [("--header", ""), ("--protocol", "aisopod.v1")] {
        let (mut client, first) = package.connect(&gateway, &[option, &token("ann")])?;
        assert_eq!(first, json!({"protocol": protocol}), "{option}");
        assert_eq!(call(&mut client, "gateway.whoami")["presence_key"], "operator:ann");
        let (mut client, first) = package.connect(&gateway, &[option, "wrong"])?;
        assert_eq!(first, json!({"status": 401}), "{option}");
        assert!(client.wait().success(), "{:#?}", client.stderr());
    }
    assert_eq!(gateway.status()["handshakes"]["failed"]["unauthorized"], 2);
    Some(())
}

fn pings_are_answered_in_both_directions(package: Package) -> Option<()> {
    // Long enough for a client on a busy machine.
    let gateway = Gateway::start("[heartbeat]\ninterval = \"2s\"\ntimeout = \"2s\"");
    let mut client = package.open(&gateway)?;
    client.write_line("ping payload");
    assert_eq!(client.read_json(), json!({"pong": "payload"}));
    let pongs = |status: &Value| status["heartbeat"]["pongs_received"].as_u64().expect("a number");
    let before = pongs(&gateway.status());
    let status = gateway.wait_for_status("3 pongs", |status| pongs(status) >= before + 3);
    assert_eq!(status["heartbeat"]["timeouts"], 0);
    assert_eq!(call(&mut client, "gateway.ping"), "pong");
    assert_eq!(gateway.status()["clients"]["total_connections"], 1);
    Some(())
}

fn close_codes_and_reasons_are_seen(package: Package) -> Option<()> {
    let gateway =
        Gateway::start("[limits]\nmax_message_bytes = 1024\noutbox_max_bytes = 2048\nclose_timeout = \"20s\"");
    let mut binary = package.open(&gateway)?;
    binary.write_line("binary");
    assert_closed(&mut binary, 1003, "unsupported_data");
    let mut large = package.open(&gateway)?;
    assert_eq!(call(&mut large, "gateway.ping"), "pong");
    large.write_line("text 1000000");
    assert_closed(&mut large, 1009, "message_too_big");
    for (code, label) in [(1000, "normal"), (1001, "going_away")] {
        let mut leaving = package.open(&gateway)?;
        leaving.write_line(&format!("close {code}"));
        assert_closed(&mut leaving, code, "");
        gateway.wait_for_status(label, |status| status["closed_total"][label] == 1);
    }
    let mut draining = package.open(&gateway)?;
    draining.write_line("wait");
    gateway.wait_for_clients(1);
    let (status, log) = gateway.stop();
    assert!(status.success(), "{log:#?}");
    assert_closed(&mut draining, 1012, "draining");
    assert!(log.last().is_some_and(|line| line.contains(" stopped closed=1 ")), "{log:#?}");
    Some(())
}

macro_rules! test_each_package {
    ($($test:ident)*) => {
        mod websockets {
            $(#[test]
            fn $test() {
                super::$test(super::Package::Websockets);
            })*
        }

        mod ws {
            $(#[test]
            fn $test() {
                super::$test(super::Package::Ws);
            })*
        }
    };
}

test_each_package! {
    token_is_sent_as_header_or_subprotocol
    pings_are_answered_in_both_directions
    close_codes_and_reasons_are_seen
}
