//! Commands of the documentation, as they are written: the load test of `src/rpc/README.md`, and the secrets in files of
//! `systemd/README.md`.

use super::{OPERATION, PROTOCOL, blocks, section};
use crate::common::process::Process;
use crate::common::{Gateway, tools};
use aisopod_gateway::auth::SecretDigest;
use std::path::Path;
use std::process::Command;

/// A shell that runs these commands in `dir` with websocat in its PATH. The documentation's port is replaced by the
/// gateway's.
fn shell(commands: &str, gateway: &Gateway, dir: &Path) -> Command {
    let tools = tools::dir().join("bin");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.arg("-c").arg(commands.replace("127.0.0.1:8080", &gateway.addr().to_string()));
    command.current_dir(dir).env("PATH", path);
    command
}

#[test]
fn load_test_with_websocat_prints_what_is_shown() {
    let (Some(_), Some(_)) = (tools::require("websocat"), tools::require("curl")) else { return };
    let gateway = Gateway::start("");
    let dir = tempfile::tempdir().unwrap();
    let blocks = blocks(section(PROTOCOL, "## Load-test it with websocat"));
    assert_eq!(blocks.len(), 6);
    for pair in blocks.chunks(2) {
        let [("sh", commands), ("text", expected)] = pair else { panic!("not commands with their output: {pair:?}") };
        let output = shell(commands, &gateway, dir.path()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), *expected, "{commands}: {stderr}");
    }
    assert_eq!(gateway.status()["handshakes"]["completed"], 111);
}

/// A gateway with the credential alice, whose secret is "secret".
fn gateway(mode: &str) -> Gateway {
    let digest = SecretDigest::of(b"secret").to_hex();
    Gateway::start(&format!(
        "[auth]
        mode = \"{mode}\"
        [[auth.credentials]]
        name = \"alice\"
        role = \"operator\"
        scopes = [\"*\"]
        {mode}_sha256 = \"{digest}\""
    ))
}

#[test]
fn secrets_in_files_are_accepted_as_shown() {
    let (Some(_), Some(_)) = (tools::require("websocat"), tools::require("curl")) else { return };
    let blocks = blocks(section(OPERATION, "## Secrets"));
    let [("sh", token), ("sh", password)] = blocks[..] else { panic!("other commands: {blocks:#?}") };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("alice.token"), "secret\n").unwrap();
    let output = shell(token, &gateway("token"), dir.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"clients\":[],\"next_cursor\":null}\n");

    std::fs::write(dir.path().join("alice.login"), "alice:secret\n").unwrap();
    let gateway = gateway("password");
    let mut websocat = Process::start(&mut shell(&format!("exec {password}"), &gateway, dir.path()));
    websocat.write_line(r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#);
    assert_eq!(websocat.read_json()["result"], "pong");
}
