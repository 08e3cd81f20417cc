//! Several gateways on one port.

use crate::common::Gateway;
use std::net::SocketAddr;
use std::process::Command;

const SHARED: &str = "listen_reuse_port = true\n";
const CLIENTS: u64 = 64;

#[test]
fn gateways_that_share_a_port_both_get_connections() {
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
    assert_eq!(other.disconnections((CLIENTS - at_one) as usize).len() as u64, CLIENTS - at_one);
}

/// Starts a gateway that can't have its address, and returns what it says.
fn refused(addr: SocketAddr, settings: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.toml");
    std::fs::write(&config, format!("listen = \"{addr}\"\n{settings}")).unwrap();
    // Bounded: one that starts after all would serve for ever.
    let output =
        Command::new("timeout").arg("20").arg(Gateway::binary()).arg("--config").arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn a_port_is_shared_only_if_all_ask_for_it() {
    for (first, second) in [("", ""), (SHARED, ""), ("", SHARED)] {
        let gateway = Gateway::start(first);
        let log = refused(gateway.addr(), second);
        let wanted = format!("not started error=\"{}: Address already in use (os error 98)\"", gateway.addr());
        assert!(log.contains(&wanted), "{first:?} and {second:?}: {log}");
    }
}
