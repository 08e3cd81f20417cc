//! The nodes of `src/rpc/README.md`, run against a gateway that restarts.

use super::{PROTOCOL, blocks, section};
use crate::common::http::exchange;
use crate::common::process::Process;
use crate::common::{Gateway, tools, wait_until};
use aisopod_gateway::auth::SecretDigest;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The node in this language.
fn source(language: &str) -> &'static str {
    let blocks = blocks(section(PROTOCOL, "## A node"));
    blocks.into_iter().find(|(name, _)| *name == language).expect("a block in this language").1
}

/// A temporary directory with a node's source and token file.
struct WorkDir(tempfile::TempDir);

impl WorkDir {
    fn new(file: &str, source: &str) -> WorkDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file), source).unwrap();
        std::fs::write(dir.path().join("kitchen-pi.token"), "node-token\n").unwrap();
        WorkDir(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A gateway on this port; 0 takes a free one.
fn gateway(port: u16) -> Gateway {
    let digest = |token: &str| SecretDigest::of(token.as_bytes()).to_hex();
    Gateway::start(&format!(
        "listen = [\"127.0.0.1:{port}\"]
        [auth]
        mode = \"token\"
        [[auth.credentials]]
        name = \"alice\"
        role = \"operator\"
        scopes = [\"*\"]
        token_sha256 = \"{}\"
        [[auth.credentials]]
        name = \"kitchen-pi\"
        role = \"node\"
        token_sha256 = \"{}\"",
        digest("operator-token"),
        digest("node-token"),
    ))
}

/// An operator's request: the body of the response.
fn request(gateway: &Gateway, method: &str, path: &str, body: &str) -> Value {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer operator-token\r\n");
    let head = format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let (_, body) = exchange(&mut gateway.tcp(), &(head + body));
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn wait_until_announced(gateway: &Gateway, node: &Process) {
    wait_until(&format!("the node has announced its method: {:?}", node.stderr()), || {
        request(gateway, "GET", "/nodes", "")["nodes"][0]["capabilities"]
            == json!([{"service": "light", "methods": ["light.set"]}])
    });
}

/// Checks that a node does its duties. Its address and token file are appended to `command`.
fn check(mut command: Command, work_dir: &WorkDir) {
    let first = gateway(0);
    let addr = first.addr();
    command.current_dir(work_dir.path()).arg(format!("ws://{addr}/ws")).arg("kitchen-pi.token");
    let mut node = Process::start(&mut command);
    wait_until_announced(&first, &node);
    let invoke = |body: Value| request(&first, "POST", "/nodes/node:kitchen-pi/invoke", &body.to_string());
    assert_eq!(invoke(json!({"method": "light.set", "params": {"on": true}})), json!({"on": true}));
    assert_eq!(invoke(json!({"method": "light.paint"}))["error"]["data"]["code"], -32601);

    first.stop();
    let second = gateway(addr.port());
    wait_until_announced(&second, &node);
    let kicked = request(&second, "DELETE", "/clients?role=node&confirm=true", "");
    assert_eq!(kicked["disconnected"], 1);
    // 4000: it doesn't come back.
    assert!(node.wait().success(), "{:#?}", node.stderr());
}

#[test]
fn python_node_answers_announces_again_and_stops_when_kicked() {
    let (Some(python), Some(_)) = (tools::require("python3"), tools::require("websockets")) else { return };
    let work_dir = WorkDir::new("node.py", source("python"));
    let mut command = Command::new(python);
    // A short pause after a connect that failed, and no proxy for this machine.
    command.arg("node.py").env("PYTHONPATH", tools::python_packages());
    command.env("WEBSOCKETS_BACKOFF_INITIAL_DELAY", "0.1").env("no_proxy", "127.0.0.1");
    check(command, &work_dir);
}

#[test]
fn javascript_node_answers_announces_again_and_stops_when_kicked() {
    let (Some(node), Some(_)) = (tools::require("node"), tools::require("ws")) else { return };
    let work_dir = WorkDir::new("node.mjs", source("js"));
    std::os::unix::fs::symlink(tools::node_packages(), work_dir.path().join("node_modules")).unwrap();
    let mut command = Command::new(node);
    command.arg("node.mjs");
    check(command, &work_dir);
}

/// Builds the example with the profile of the gateway under test.
fn build_example() -> PathBuf {
    let profile = Gateway::binary().parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--example", "node"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    build.arg("--target-dir").arg(profile.parent().unwrap());
    build.args(profile.ends_with("release").then_some("--release"));
    assert!(build.status().unwrap().success());
    profile.join("examples/node")
}

#[test]
fn rust_node_answers_announces_again_and_stops_when_kicked() {
    assert_eq!(source("rust"), include_str!("../../examples/node.rs"), "tests/examples/node.rs isn't the README's");
    let work_dir = WorkDir::new("node.rs", "");
    let mut command = Command::new("sh");
    command.args(["-c", r#"until "$0" "$@"; do sleep 1; done"#]).arg(build_example());
    check(command, &work_dir);
}
