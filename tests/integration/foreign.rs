//! Clients by the Python package `websockets` and the Node package `ws`, told what to do line by line.

use crate::common::credential::Credential;
use crate::common::process::Process;
use crate::common::{Gateway, tools};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// A kind of client, if all that it needs is installed.
#[derive(Clone, Copy)]
enum Kind {
    Websockets,
    Ws,
}

impl Kind {
    fn command(self) -> Option<Command> {
        let (program, package, script) = match self {
            Kind::Websockets => ("python3", "websockets", "client.py"),
            Kind::Ws => ("node", "ws", "client.mjs"),
        };
        let (program, _) = (tools::require(program)?, tools::require(package)?);
        let mut command = Command::new(program);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(script));
        command.env("PYTHONPATH", tools::python_packages()).env("NODE_PATH", tools::node_packages());
        Some(command)
    }

    /// A client that has opened a connection or was refused: its first line tells.
    fn connect(self, gateway: &Gateway, credential: &[&str]) -> Option<(Process, Value)> {
        let mut command = self.command()?;
        let client = Process::start(command.arg(format!("ws://{}/ws", gateway.addr())).args(credential));
        let first = client.hear_json();
        Some((client, first))
    }

    fn open(self, gateway: &Gateway) -> Option<Process> {
        let (client, first) = self.connect(gateway, &[])?;
        assert_eq!(first, json!({"protocol": ""}));
        Some(client)
    }
}

fn call(client: &mut Process, method: &str) -> Value {
    client.say(&format!("call {method}"));
    let answer = client.hear_json()["answer"].clone();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(method)), "{answer}");
    answer["result"].clone()
}

/// The end as the client sees it.
fn ends(client: &mut Process, code: u16, reason: &str) {
    assert_eq!(client.hear_json(), json!({"code": code, "reason": reason}));
    assert!(client.wait().success(), "{:#?}", client.complaints());
}

// The tests; they return `None` when they are skipped.

fn tokens(kind: Kind) -> Option<()> {
    let ann = Credential::new("ann", "operator");
    let gateway = Gateway::start(&ann.settings);
    for (option, protocol) in [("--header", ""), ("--protocol", "aisopod.v1")] {
        let (mut client, first) = kind.connect(&gateway, &[option, &ann.token])?;
        assert_eq!(first, json!({"protocol": protocol}), "{option}");
        assert_eq!(call(&mut client, "gateway.whoami")["presence_key"], "operator:ann");
        let (mut client, first) = kind.connect(&gateway, &[option, "wrong"])?;
        assert_eq!(first, json!({"status": 401}), "{option}");
        assert!(client.wait().success(), "{:#?}", client.complaints());
    }
    assert_eq!(gateway.status()["handshakes"]["failed"]["unauthorized"], 2);
    Some(())
}

fn pings_both_ways(kind: Kind) -> Option<()> {
    // Short, but long enough for a client that a busy machine keeps waiting.
    let gateway = Gateway::start("[heartbeat]\ninterval = \"2s\"\ntimeout = \"2s\"");
    let mut client = kind.open(&gateway)?;
    client.say("ping are-you-there?");
    assert_eq!(client.hear_json(), json!({"pong": "are-you-there?"}));
    let pongs = |status: &Value| status["heartbeat"]["pongs_received"].as_u64().expect("a number");
    let before = pongs(&gateway.status());
    let status = gateway.wait_for_status("3 pongs have come", |status| pongs(status) >= before + 3);
    assert_eq!(status["heartbeat"]["timeouts"], 0);
    assert_eq!(call(&mut client, "gateway.ping"), "pong");
    assert_eq!(gateway.status()["clients"]["total_connections"], 1);
    Some(())
}

fn close_codes(kind: Kind) -> Option<()> {
    let gateway =
        Gateway::start("[limits]\nmax_message_bytes = 1024\noutbox_max_bytes = 2048\nclose_timeout = \"20s\"");
    let mut binary = kind.open(&gateway)?;
    binary.say("binary");
    ends(&mut binary, 1003, "unsupported_data");
    let mut large = kind.open(&gateway)?;
    assert_eq!(call(&mut large, "gateway.ping"), "pong");
    large.say("text 1000000");
    ends(&mut large, 1009, "message_too_big");
    for (code, label) in [(1000, "normal"), (1001, "going_away")] {
        let mut leaving = kind.open(&gateway)?;
        leaving.say(&format!("close {code}"));
        ends(&mut leaving, code, "");
        gateway.wait_for_status(label, |status| status["closed_total"][label] == 1);
    }
    let mut draining = kind.open(&gateway)?;
    draining.say("wait");
    gateway.wait_for_clients(1);
    let (status, log) = gateway.stop();
    assert!(status.success(), "{log:#?}");
    ends(&mut draining, 1012, "draining");
    assert!(log.last().is_some_and(|line| line.ends_with(" stopped closed=1 cut=0")), "{log:#?}");
    Some(())
}

macro_rules! tests_of_each_kind {
    ($($test:ident)*) => {
        mod websockets {
            $(#[test]
            fn $test() {
                super::$test(super::Kind::Websockets);
            })*
        }

        mod ws {
            $(#[test]
            fn $test() {
                super::$test(super::Kind::Ws);
            })*
        }
    };
}

tests_of_each_kind! { tokens pings_both_ways close_codes }
