//! The nodes of `src/rpc/README.md`, run against a gateway that restarts.

use super::{PROTOCOL, blocks, section};
use crate::common::process::Process;
use crate::common::test_gateway::{TestGateway, token};
use crate::common::{Gateway, tools, wait_until};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// The node in this language.
fn source(language: &str) -> &'static str {
    let blocks = blocks(section(PROTOCOL, "## A node"));
    blocks.into_iter().find(|(name, _)| *name == language).expect("a block in this language").1
}

/// A temporary directory with a node's source and token file.
fn work_dir(file: &str, source: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(file), source).unwrap();
    std::fs::write(dir.path().join("kitchen-pi.token"), token("kitchen-pi") + "\n").unwrap();
    dir
}

fn gateway(addr: SocketAddr) -> TestGateway {
    let credentials = [("alice", "operator", "*"), ("kitchen-pi", "node", "")];
    TestGateway::start(&credentials, &format!("listen = [\"{addr}\"]\nlisten_reuse_port = true"))
}

/// A socket that keeps a port from other programs, but not from gateways with `listen_reuse_port`. It doesn't listen, so
/// it gets no connections.
fn reserve_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

fn wait_until_announced(gateway: &TestGateway, node: &Process) {
    wait_until(&format!("the node has announced its method: {:?}", node.stderr()), || {
        gateway.http("alice", "GET /nodes", "").1["nodes"][0]["capabilities"]
            == json!([{"service": "light", "methods": ["light.set"]}])
    });
}

/// Checks that a node does its duties. The gateway's URL and the node's token file are appended to `command`.
fn check(mut command: Command, work_dir: &TempDir) {
    let (_reserved, addr) = reserve_port();
    let first = gateway(addr);
    command.current_dir(work_dir.path()).arg(format!("ws://{addr}/ws")).arg("kitchen-pi.token");
    let mut node = Process::start(&mut command);
    wait_until_announced(&first, &node);
    let invoke = |body: Value| first.http("alice", "POST /nodes/node:kitchen-pi/invoke", &body.to_string()).1;
    assert_eq!(invoke(json!({"method": "light.set", "params": {"on": true}})), json!({"on": true}));
    assert_eq!(invoke(json!({"method": "light.paint"}))["error"]["data"]["code"], -32601);

    first.0.stop();
    let second = gateway(addr);
    wait_until_announced(&second, &node);
    let (_, kicked) = second.http("alice", "DELETE /clients?role=node&confirm=true", "");
    assert_eq!(kicked["disconnected"], 1);
    // 4000: it doesn't come back.
    assert!(node.wait().success(), "{:#?}", node.stderr());
}

#[test]
fn python_node_answers_announces_again_and_stops_when_kicked() {
    let (Some(python), Some(_)) = (tools::require("python3"), tools::require("websockets")) else { return };
    let work_dir = work_dir("node.py", source("python"));
    let mut command = Command::new(python);
    // A short pause after a connect that failed, and no proxy for this machine.
    command.arg("node.py").env("PYTHONPATH", tools::python_packages());
    command.env("WEBSOCKETS_BACKOFF_INITIAL_DELAY", "0.1").env("no_proxy", "127.0.0.1");
    check(command, &work_dir);
}

#[test]
fn javascript_node_answers_announces_again_and_stops_when_kicked() {
    let (Some(node), Some(_)) = (tools::require("node"), tools::require("ws")) else { return };
    let work_dir = work_dir("node.mjs", source("js"));
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
    let work_dir = work_dir("node.rs", "");
    let mut command = Command::new("sh");
    command.args(["-c", r#"until "$0" "$@"; do sleep 1; done"#]).arg(build_example());
    check(command, &work_dir);
}
