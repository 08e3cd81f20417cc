//! The program against the real gateway, which `AISOPOD_GATEWAY` names. What depends on the machine's speed isn't
//! looked at. CI runs the soak itself.

use serde_json::Value;
use std::process::{Command, Output};

/// Runs the program with these arguments; `None` without a gateway.
fn hostile(arguments: &str) -> Option<Output> {
    let Some(gateway) = std::env::var_os("AISOPOD_GATEWAY") else {
        assert!(std::env::var_os("CI").is_none(), "AISOPOD_GATEWAY isn't set");
        println!("SKIPPED: AISOPOD_GATEWAY isn't set");
        return None;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_hostile"));
    command.args(arguments.split_ascii_whitespace()).arg("--gateway").arg(gateway);
    Some(command.output().expect("the program starts"))
}

#[test]
fn attack_is_measured_beside_healthy_clients() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.json");
    let arguments = "attacks --clients 20 --quiet 0.5 --seconds 1.5 fragments subscribe,";
    let Some(output) = hostile(&format!("{arguments} --json {}", file.display())) else { return };
    let (table, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{error}\n{table}{log}"));
    let report: Value = serde_json::from_str(&report).unwrap();
    let attacks = report["attacks"].as_array().unwrap();
    assert!(attacks.len() >= 4, "{table}");
    for attack in attacks {
        let name = attack["attack"].as_str().unwrap();
        assert!(table.contains(name));
        // 20 clients send 10 requests a second each.
        assert!(attack["quiet"]["count"].as_u64() >= Some(80), "{attack}");
        assert!(attack["attacked"]["count"].as_u64() >= Some(280), "{attack}");
        assert_eq!([&attack["lost"], &attack["disconnected"], &attack["out_of_order"]], [0, 0, 0], "{attack}");
        assert!(attack["attackers"]["opened"].as_u64() >= Some(8), "{attack}");
        assert!(attack["attackers"]["bytes_sent"].as_u64() > Some(1000), "{attack}");
        assert!(attack["newcomers"]["succeeded"].as_u64() > Some(0), "{attack}");
        assert!(attack["memory"]["peak_bytes"].as_u64() > Some(1_000_000), "{attack}");
    }
}

#[test]
fn gateway_that_ends_at_once_is_an_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hostile"));
    let output = command.args(["attacks", "--gateway", "/bin/false"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the gateway didn't start"));
}
