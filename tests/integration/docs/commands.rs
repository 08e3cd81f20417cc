//! Commands of the documentation, as they are written: the load test in `src/rpc/README.md`, and those in
//! `systemd/README.md` that read secrets from files.

use super::{OPERATION, PROTOCOL, Shell, blocks, section};
use crate::common::Gateway;
use crate::common::process::Process;
use crate::common::test_gateway::{TestGateway, digest, token};

#[test]
fn load_test_with_websocat_prints_what_is_shown() {
    let Some(shell) = Shell::new() else { return };
    let gateway = Gateway::start("");
    let blocks = blocks(section(PROTOCOL, "## Load-test it with websocat"));
    assert_eq!(blocks.len(), 6);
    for pair in blocks.chunks(2) {
        let [("sh", commands), ("text", expected)] = pair else { panic!("not commands with their output: {pair:?}") };
        let output = shell.command(commands, gateway.addr().port()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), *expected, "{commands}: {stderr}");
    }
    assert_eq!(gateway.status()["handshakes"]["completed"], 111);
}

#[test]
fn secrets_in_files_are_accepted_as_shown() {
    let Some(shell) = Shell::new() else { return };
    let blocks = blocks(section(OPERATION, "## Secrets"));
    let [("sh", with_token), ("sh", with_password)] = blocks[..] else { panic!("other commands: {blocks:#?}") };
    let gateway = TestGateway::start(&[("alice", "operator", "*")], "");
    std::fs::write(shell.dir.path().join("alice.token"), token("alice") + "\n").unwrap();
    let output = shell.command(with_token, gateway.addr().port()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"clients\":[],\"next_cursor\":null}\n");

    let credential = format!("name = \"alice\"\nrole = \"operator\"\npassword_sha256 = \"{}\"", digest("secret"));
    let gateway = Gateway::start(&format!("[auth]\nmode = \"password\"\n[[auth.credentials]]\n{credential}"));
    std::fs::write(shell.dir.path().join("alice.login"), "alice:secret\n").unwrap();
    let mut websocat = Process::start(&mut shell.command(&format!("exec {with_password}"), gateway.addr().port()));
    websocat.write_line(r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#);
    assert_eq!(websocat.read_json()["result"], "pong");
}
