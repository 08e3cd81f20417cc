//! Commands of the documentation, as they are written: the load test in `src/rpc/README.md`, and those in
//! `systemd/README.md` that read secrets from files.

use super::{OPERATION, PROTOCOL, Shell, blocks, section};
use crate::common::Gateway;
use crate::common::process::Process;
use crate::common::test_gateway::{TestGateway, digest, token};
use serde_json::json;

#[test]
fn load_test_with_websocat_prints_what_is_shown() {
    let Some(shell) = Shell::new() else { return };
    let gateway = Gateway::start("");
    let blocks = blocks(section(PROTOCOL, "## Load-test it with websocat"));
    let [one, one_output, many, many_output, busy, busy_output] = blocks[..] else { panic!("{blocks:#?}") };
    let run = |(language, commands): (&str, &str), expected: (&str, &str)| {
        assert_eq!((language, expected.0), ("sh", "text"), "not commands with their output");
        let output = shell.command(commands, gateway.addr().port()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected.1, "{commands}: {stderr}");
    };
    run(one, one_output);
    run(many, many_output);
    // A client may have its last answer a moment before the gateway has counted it.
    let (load, count) = busy.1.split_at(busy.1.rfind("curl").expect("a command that shows the count"));
    run((busy.0, load), ("text", ""));
    let messages = json!({"in": 110_000, "out": 110_000});
    gateway.wait_for_status("the last messages", |status| status["messages"] == messages);
    run((busy.0, count), busy_output);
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
