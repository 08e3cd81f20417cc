//! Commands that are shown with their output: the load test of `src/rpc/README.md`, as it is written.

use super::{PROTOCOL, blocks, section};
use crate::common::{Gateway, tools};
use std::process::Command;

#[test]
fn load_test_with_websocat_prints_what_is_shown() {
    let (Some(websocat), Some(_)) = (tools::require("websocat"), tools::require("curl")) else { return };
    let gateway = Gateway::start("");
    let dir = tempfile::tempdir().unwrap();
    let path = format!("{}:{}", websocat.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let blocks = blocks(section(PROTOCOL, "## Load-test it with websocat"));
    assert_eq!(blocks.len(), 6);
    for pair in blocks.chunks(2) {
        let [("sh", commands), ("text", expected)] = pair else { panic!("not commands with their output: {pair:?}") };
        // The README's port may be in use here.
        let commands = commands.replace("127.0.0.1:8080", &gateway.addr().to_string());
        let output = Command::new("bash").args(["-c", &commands]).current_dir(dir.path()).env("PATH", &path).output();
        let output = output.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), *expected, "{commands}: {stderr}");
    }
    assert_eq!(gateway.status()["handshakes"]["completed"], 111);
}
