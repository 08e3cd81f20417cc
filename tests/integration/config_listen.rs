//! Addresses to listen on: conflicts, warnings of `--check`, IPv4 and IPv6. `config.rs` has their syntax.

use crate::common::Gateway;
use crate::common::config_check::{EX_CONFIG, run};
use crate::common::tools::skip;
use std::net::TcpListener;

/// Addresses of flags conflict with each other and with those of the file that they don't replace.
#[test]
fn conflicting_address_of_a_flag_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), "[ops]\nlisten = \"127.0.0.1:81\"\n").unwrap();
    for (addrs, expected) in [
        (["[::1]:80", "[::1]:80"], "--listen: duplicate address \"[::1]:80\"\n"),
        (["127.0.0.1:80", "0.0.0.0:80"], "--listen: \"0.0.0.0:80\" TAKEN \"127.0.0.1:80\"; OTHER\n"),
        (
            ["[::1]:81", "127.0.0.1:81"],
            "config.toml:2: ops.listen \"127.0.0.1:81\" TAKEN listen \"127.0.0.1:81\" (from --listen); OTHER\n",
        ),
    ] {
        let [first, second] = addrs;
        for check in [&["--check"][..], &[]] {
            let args = [check, &["--config", "config.toml", "--listen", first, "--listen", second]].concat();
            let output = run(dir.path(), &args);
            let expected =
                expected.replace("TAKEN", "is taken by").replace("OTHER", "allowed: another address or port");
            assert_eq!(String::from_utf8_lossy(&output.stderr), expected, "{addrs:?}");
            assert_eq!(output.status.code(), Some(EX_CONFIG), "{addrs:?}");
        }
    }
}

/// These may change before the gateway starts. An address in use isn't reported: the running gateway uses it.
#[test]
fn address_that_can_not_be_bound_now_gets_a_warning() {
    let gateway = Gateway::start("");
    let dir = tempfile::tempdir().unwrap();
    let socket = gateway.unix_path();
    for (addr, warning) in [
        (gateway.addr().to_string(), None),
        (format!("unix:{}", socket.display()), None),
        ("192.0.2.1:80".to_owned(), Some("Cannot assign requested address (os error 99)")),
        ("unix:/missing/socket".to_owned(), Some("No such file or directory (os error 2)")),
        ("unix:/etc/passwd/socket".to_owned(), Some("Not a directory (os error 20)")),
    ] {
        let text = format!("listen = \"{addr}\"\nauth.allow_insecure = true\n");
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        let output = run(dir.path(), &["--check", "--config", "config.toml"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let warning = warning.map(|error| format!("warning: listen \"{addr}\" can't be bound now: {error}\n"));
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed.contains("can't be bound"), warning.is_some(), "{printed}");
        assert!(printed.contains(&warning.unwrap_or_default()), "{printed}");
    }
    assert_eq!(gateway.connect().call("gateway.ping")["result"], "pong");
}

#[test]
fn ipv4_and_ipv6_share_a_port_and_a_mapped_address_is_ipv4() {
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("IPv6 isn't available").unwrap_or_default();
    }
    let settings = "listen = [\"0.0.0.0:0\", \"[::ffff:127.0.0.1]:0\"]\nauth.allow_insecure = true\n";
    let ipv4 = Gateway::start(settings);
    let line = ipv4.wait_for_line("0.0.0.0", |line| line.contains("listening addr=0.0.0.0:"));
    let port = line.rsplit(':').next().unwrap();
    let ipv6 = format!("listen = [\"[::]:{port}\", \"127.0.0.1:0\"]\nauth.allow_insecure = true\n");
    let ipv6 = Gateway::start(&ipv6);
    ipv6.wait_for_line("[::]", |line| line.ends_with(&format!("listening addr=[::]:{port}")));
}
