//! The systemd service: installation, the units, the log in the journal. Tests that boot a systemd are in `tests/systemd`.

mod notifications;
mod sockets;

use crate::common::Gateway;
use crate::common::tools::require;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// Runs make in the repository.
fn make(target: &str, variables: &[String]) {
    make_with(target, variables, &[]);
}

fn make_with(target: &str, variables: &[String], environment: &[(&str, &str)]) {
    let binary = format!("BINARY={}", Gateway::binary().display());
    let output = Command::new("make")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), target, &binary])
        .args(variables)
        .env_remove("MAKEFLAGS")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "make {target}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The files of a directory and its subdirectories.
fn files(dir: &Path) -> Vec<String> {
    let found = Command::new("find").arg(dir).args(["!", "-type", "d", "-printf", "%P\n"]).output().unwrap();
    let mut files: Vec<String> = String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect();
    files.sort();
    files
}

#[test]
fn make_installs_and_uninstalls_but_keeps_a_changed_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [format!("DESTDIR={}", dir.path().display()), "PREFIX=/opt/gw".to_owned()];
    make("install", &variables);
    let config = "etc/aisopod-gateway/config.toml";
    let unit = "lib/systemd/system/aisopod-gateway.service";
    let below_prefix = [
        "bin/aisopod-gateway",
        "lib/systemd/system/aisopod-gateway-ops.socket",
        unit,
        "lib/systemd/system/aisopod-gateway.socket",
        "lib/sysusers.d/aisopod-gateway.conf",
        "share/bash-completion/completions/aisopod-gateway",
        "share/doc/aisopod-gateway/CHANGELOG.md",
        "share/doc/aisopod-gateway/LICENSE",
        "share/doc/aisopod-gateway/README.md",
        "share/doc/aisopod-gateway/src/rpc/README.md",
        "share/doc/aisopod-gateway/systemd/README.md",
        "share/doc/aisopod-gateway/systemd/config.toml",
        "share/fish/vendor_completions.d/aisopod-gateway.fish",
        "share/man/man5/aisopod-gateway.toml.5",
        "share/man/man7/aisopod-gateway-protocol.7",
        "share/man/man8/aisopod-gateway.8",
        "share/zsh/site-functions/_aisopod-gateway",
    ];
    let all = [config.to_owned()].into_iter().chain(below_prefix.map(|file| format!("opt/gw/{file}")));
    assert_eq!(files(dir.path()), all.collect::<Vec<_>>());
    let unit = fs::read_to_string(dir.path().join("opt/gw").join(unit)).unwrap();
    assert!(unit.contains("\nDocumentation=file:/opt/gw/share/doc/aisopod-gateway/systemd/README.md\n"));
    let command = "/opt/gw/bin/aisopod-gateway --config /etc/aisopod-gateway/config.toml";
    assert!(unit.contains(&format!("\nExecStart={command}\n")));
    let installed = |file: &str| fs::metadata(dir.path().join(file)).unwrap();
    assert_eq!(installed(config).mode() & 0o777, 0o640);
    assert_eq!(installed("opt/gw/bin/aisopod-gateway").mode() & 0o777, 0o755);
    if require("strip").is_some() {
        let original = fs::metadata(Gateway::binary()).unwrap().len();
        assert!(installed("opt/gw/bin/aisopod-gateway").len() < original, "the program is installed with symbols");
    }
    make("uninstall", &variables);
    assert!(files(dir.path()).is_empty());

    make("install", &variables);
    fs::write(dir.path().join(config), "log_level = \"warn\"\n").unwrap();
    make("install", &variables);
    make("uninstall", &variables);
    assert_eq!(files(dir.path()), [config]);
    assert_eq!(fs::read_to_string(dir.path().join(config)).unwrap(), "log_level = \"warn\"\n");
}

#[test]
fn uninstall_stops_and_disables_the_service_only_if_it_removes_its_unit() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().display();
    let variables = [format!("PREFIX={prefix}"), format!("SYSCONFDIR={prefix}/etc"), "SYSUSERS=".to_owned()];
    // A systemctl that prints where make would install a unit named $UNIT, and records its arguments.
    let systemctl = format!("#!/bin/sh\necho \"$@\" >> {prefix}/calls\necho {prefix}/lib/systemd/system/$UNIT\n");
    fs::create_dir(dir.path().join("fake")).unwrap();
    fs::write(dir.path().join("fake/systemctl"), systemctl).unwrap();
    fs::set_permissions(dir.path().join("fake/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{prefix}/fake:{}", std::env::var("PATH").unwrap());
    for (unit, is_stopped) in [("other.service", false), ("aisopod-gateway.service", true)] {
        make("install", &variables);
        let _ = fs::remove_file(dir.path().join("calls"));
        let environment = [("PATH", &*path), ("UNIT", unit)];
        make_with("uninstall", &variables, &environment);
        let calls = fs::read_to_string(dir.path().join("calls")).unwrap();
        assert_eq!(
            calls.contains("disable --now aisopod-gateway.service aisopod-gateway.socket aisopod-gateway-ops.socket\n"),
            is_stopped,
            "{calls}"
        );
    }
}

#[test]
fn unit_is_valid_and_sandboxed() {
    let Some(analyze) = require("systemd-analyze") else { return };
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().display();
    make("install", &[format!("PREFIX={prefix}"), format!("SYSCONFDIR={prefix}"), "SYSUSERS=".to_owned()]);
    let unit_dir = dir.path().join("lib/systemd/system");
    let unit = unit_dir.join("aisopod-gateway.service");
    let units = ["aisopod-gateway.socket", "aisopod-gateway-ops.socket"].map(|socket| unit_dir.join(socket));
    let mut verify = Command::new(&analyze);
    // The manual pages aren't installed where man finds them.
    verify.args(["verify", "--recursive-errors=yes", "--man=no"]).arg(&unit).args(units);
    let verified = verify.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&verified.stderr) + String::from_utf8_lossy(&verified.stdout), "");
    assert!(verified.status.success());
    let secure = Command::new(&analyze).args(["security", "--offline=yes", "--threshold=15"]).arg(&unit).output();
    let secure = secure.unwrap();
    assert!(secure.status.success(), "{}", String::from_utf8_lossy(&secure.stdout));
}

#[test]
fn example_configuration_has_the_defaults() {
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/config.toml")).unwrap();
    let uncomment = |text: &str| -> String {
        let lines = text.lines();
        let lines = lines.map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line));
        lines.flat_map(|line| [line, "\n"]).collect()
    };
    // The credentials at the end aren't defaults.
    let defaults = uncomment(example.split("#[[auth.credentials]]").next().unwrap());
    assert!(defaults.matches(" = ").count() >= 18, "{defaults}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, &defaults).unwrap();
    let descriptors = 20_000;
    let read = aisopod_gateway::config::load(&path, descriptors, Vec::new()).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", aisopod_gateway::config::Config::new(descriptors)));

    // The credential at the end has a placeholder instead of a digest, so that nobody uses a published secret.
    fs::write(&path, uncomment(&example.replace("#mode = \"none\"", "mode = \"token\""))).unwrap();
    let error = aisopod_gateway::config::load(&path, descriptors, Vec::new()).unwrap_err();
    let message = &error.0[0].message;
    assert!(error.0.len() == 1 && message.starts_with("auth.credentials.token_sha256: "), "{error}");
    assert!(message.ends_with("aisopod-gateway token --name NAME --role ROLE"), "{error}");
}

/// A shell that runs the gateway with `JOURNAL_STREAM` naming the standard error's device and inode.
const WITH_JOURNAL: &str = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"";

#[test]
fn journal_lines_have_a_priority_and_no_timestamp() {
    let mut command = Command::new("sh");
    command.args(["-c", WITH_JOURNAL]).arg(Gateway::binary()).env("NOTIFY_SOCKET", "/missing/socket");
    let gateway = Gateway::start_with(command, "log_level = \"debug\"");
    let line = gateway.wait_for_line("the address", |line| line.contains("listening"));
    assert!(line.starts_with("<6>INFO  [aisopod_gateway] listening addr="), "{line}");
    gateway.signal("HUP");
    for start in ["<7>DEBUG [aisopod_gateway] service manager not notified ", "<6>INFO  [aisopod_gateway] reloaded "] {
        gateway.wait_for_line(start, |line| line.starts_with(start));
    }
    for stream in ["8:12345", "", "0", "journal"] {
        let mut command = Command::new(Gateway::binary());
        command.env("JOURNAL_STREAM", stream);
        let plain = Gateway::start_with(command, "");
        let line = plain.wait_for_line("the address", |line| line.contains("listening"));
        assert!(line.starts_with("INFO  [aisopod_gateway] 20") && line.contains("Z listening addr="), "{line}");
        assert!(!line.contains('\u{1b}'), "no colours");
    }
}

#[test]
fn every_line_of_a_configuration_error_has_its_priority_in_the_journal() {
    let script = format!("{WITH_JOURNAL} --listen x --log-level y");
    let output = Command::new("sh").args(["-c", &script]).arg(Gateway::binary()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let starts: Vec<_> = stderr.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(starts, ["<3>--listen", "<3>--log-level"], "{stderr}");
}
