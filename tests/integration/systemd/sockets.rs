//! Sockets that systemd's own program for them passes. `tests/systemd` tests them with a booted systemd.

use crate::common::Gateway;
use crate::common::http::exchange;
use crate::common::process::Process;
use crate::common::tools::require;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the gateway with systemd's own program for sockets, which starts it with the first connection.
fn activate(sockets: &[(&str, PathBuf)], settings: &str, dir: &Path) -> Option<Process> {
    let program = require("systemd-socket-activate")?;
    let config = dir.join("config.toml");
    fs::write(&config, settings).unwrap();
    let mut command = Command::new(program);
    for (_, path) in sockets {
        command.arg("--listen").arg(path);
    }
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    if !names[0].is_empty() {
        command.arg(format!("--fdname={}", names.join(":")));
    }
    let process = Process::start(command.arg(Gateway::binary()).arg("--config").arg(config));
    process.wait_for_stderr("its sockets", |line| line.starts_with("Listening on "));
    Some(process)
}

fn get(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("the socket");
    let (head, _) = exchange(&mut stream, &format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    head.split(' ').nth(1).expect("a status").to_owned()
}

#[test]
fn passed_sockets_serve_what_their_names_say_and_replace_the_configured_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let sockets = [("clients", at("clients")), ("ops", at("ops"))];
    let settings = format!("listen = \"unix:{}\"\n[ops]\nlisten = \"unix:{}\"\n", at("a").display(), at("b").display());
    let Some(gateway) = activate(&sockets, &settings, dir.path()) else { return };
    assert_eq!((get(&at("clients"), "/readyz"), get(&at("clients"), "/status")), ("200".into(), "404".into()));
    assert_eq!((get(&at("ops"), "/status"), get(&at("ops"), "/ws")), ("200".into(), "404".into()));
    for setting in ["listen", "ops.listen"] {
        let warning = format!(" {setting} isn't used, since systemd passes sockets");
        gateway.wait_for_stderr(setting, |line| line.starts_with("WARN ") && line.ends_with(&warning));
    }
    assert!(!at("a").exists() && !at("b").exists());
    drop(gateway);
    assert!(at("clients").exists(), "the path belongs to systemd");

    let Some(_one) = activate(&[("", at("unnamed"))], "", dir.path()) else { return };
    assert_eq!((get(&at("unnamed"), "/readyz"), get(&at("unnamed"), "/status")), ("200".into(), "200".into()));
}

#[test]
fn passed_socket_with_another_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let Some(gateway) = activate(&[("admin", path.clone())], "", dir.path()) else { return };
    let _connection = UnixStream::connect(&path).unwrap();
    let problem = "startup failed error=\"the socket that systemd passed as \"admin\": allowed: FileDescriptorName=clients, \
                   FileDescriptorName=ops\"";
    gateway.wait_for_stderr("the problem", |line| line.ends_with(problem));
}
