//! Installation, upgrade and removal.

use crate::machine::{Machine, PACKAGES};
use crate::storm::Storm;
use std::thread;
use std::time::Duration;

const UNITS: [&str; 2] = ["aisopod-gateway.socket", "aisopod-gateway.service"];

#[test]
fn package_starts_the_units_that_its_description_names_and_leaves_nothing_when_it_is_purged() {
    let Some(machine) = Machine::boot() else { return };
    let before = traces(&machine);
    machine.run(&format!("dpkg -i /opt/test/{}", PACKAGES[0]));
    for unit in UNITS {
        assert_eq!(machine.run(&format!("systemctl is-active {unit}; systemctl is-enabled {unit}")), "active\nenabled");
    }
    let description = machine.run("dpkg-query -W -f='${Description}' aisopod-gateway");
    assert!(UNITS.iter().all(|unit| description.contains(unit)), "{description}");
    let ops = machine.run("systemctl is-active aisopod-gateway-ops.socket || true; dpkg -V aisopod-gateway");
    assert_eq!(ops, "inactive", "it is installed but not started, and no file differs from the package's");
    assert!(machine.run("curl -sS http://127.0.0.1:8080/status").starts_with("{\"status\":\"ok\""));
    assert_eq!(machine.run("stat -c '%a %U %G' /etc/aisopod-gateway/config.toml"), "640 root aisopod-gateway");
    machine.run("cd /usr/share/man && ls man8/aisopod-gateway.8.gz man5/aisopod-gateway.toml.5.gz");
    let completion = "autoload -Uz compinit && compinit -u -D; print $_comps[aisopod-gateway]";
    assert_eq!(machine.run(&format!("zsh -c '{completion}'")), "_aisopod-gateway");

    machine.run("dpkg --purge aisopod-gateway");
    assert_eq!(traces(&machine), before);
}

/// What names the gateway in a machine, outside of this repository: files, user, processes, units.
fn traces(machine: &Machine) -> String {
    let repository = env!("CARGO_MANIFEST_DIR");
    machine.run(&format!(
        "find / -xdev '(' -path /proc -o -path '{repository}' ')' -prune -o -name '*aisopod-gateway*' -print; \
         getent passwd aisopod-gateway || true; pgrep aisopod || true; \
         systemctl list-unit-files --no-legend 'aisopod*' || true; \
         systemctl list-units --no-legend --state=active,failed 'aisopod*' || true"
    ))
}

#[test]
fn upgrade_refuses_no_connection_and_keeps_the_configuration() {
    let Some(machine) = Machine::with_package() else { return };
    machine.configure("log_level = \"debug\"\n");
    let before = machine.property("MainPID");
    let storm = Storm::start(&machine, 5, Duration::from_millis(300));
    thread::sleep(Duration::from_secs(1));
    machine.run(&format!("dpkg -i /opt/test/{}", PACKAGES[1]));
    let ends = storm.finish();
    assert_eq!(machine.run("dpkg-query -W -f='${Version}' aisopod-gateway").rsplit('-').next(), Some("2"));
    assert_ne!(machine.property("MainPID"), before, "the service was restarted");
    assert_eq!(machine.run("cat /etc/aisopod-gateway/config.toml"), "log_level = \"debug\"");
    assert!(ends.lost.is_empty() && ends.drained > 0 && ends.done + ends.drained == 5000, "{ends:?}");
}

#[test]
fn unit_that_the_administrator_has_disabled_stays_disabled_by_an_upgrade() {
    let Some(machine) = Machine::with_package() else { return };
    machine.run("systemctl disable --now aisopod-gateway.socket aisopod-gateway.service");
    machine.run(&format!("dpkg -i /opt/test/{}", PACKAGES[1]));
    for unit in UNITS {
        let state = format!("systemctl is-enabled {unit} || true; systemctl is-active {unit} || true");
        assert_eq!(machine.run(&state), "disabled\ninactive");
    }
}
