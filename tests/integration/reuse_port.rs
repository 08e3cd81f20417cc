//! `listen_reuse_port`: several gateways on one port.

use crate::common::Gateway;
use std::net::SocketAddr;
use std::process::Command;

const SHARED: &str = "listen_reuse_port = true\n";
const CLIENTS: u64 = 64;

#[test]
fn gateways_with_a_shared_port_both_get_connections() {
    let one = Gateway::start(SHARED);
    let other = Gateway::start(&format!("listen = \"{}\"\n{SHARED}", one.addr()));
    assert_eq!(one.addr(), other.addr());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| one.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.call("gateway.ping")["result"], "pong");
    }
    let at_one = one.status()["clients"]["total_connections"].as_u64().unwrap();
    assert!((1..CLIENTS).contains(&at_one), "{at_one} of {CLIENTS}");
    drop(clients);
    assert_eq!(other.wait_for_disconnects((CLIENTS - at_one) as usize).len() as u64, CLIENTS - at_one);
}

/// Starts a gateway whose address is in use. Returns its standard error.
fn start_error(addr: SocketAddr, settings: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.toml");
    std::fs::write(&config, format!("listen = \"{addr}\"\n{settings}")).unwrap();
    // The timeout ends a gateway that starts after all.
    let output =
        Command::new("timeout").arg("20").arg(Gateway::binary()).arg("--config").arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn port_is_shared_only_if_all_gateways_allow_it() {
    for (first, second) in [("", ""), (SHARED, ""), ("", SHARED)] {
        let gateway = Gateway::start(first);
        let log = start_error(gateway.addr(), second);
        let expected = format!("{}: Address already in use", gateway.addr());
        assert!(log.contains(&expected), "{first:?} and {second:?}: {log}");
    }
}

#[test]
fn startup_failure_is_printed_even_if_nothing_is_logged() {
    let gateway = Gateway::start("");
    let addr = gateway.addr();
    let expected = format!("startup failed: {addr}: Address already in use (os error 98)\n");
    assert_eq!(start_error(addr, "log_level = \"off\""), expected);
    let in_use = addr.to_string();
    for (listen, code, start) in [
        (&*in_use, 1, &*expected),
        ("unix:/missing/socket", 1, "startup failed: unix:/missing/socket: No such file or directory"),
        ("nowhere", 78, "--listen: \"nowhere\"; "),
        ("unix:/usr", 78, "--listen: \"unix:/usr\" exists"),
    ] {
        let mut command = Command::new("timeout");
        command.arg("20").arg(Gateway::binary()).args(["--log-level", "off", "--listen", listen]);
        let output = command.output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).starts_with(start), "{output:?}");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}
