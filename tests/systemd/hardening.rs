//! Each directive of the unit's sandbox is in force in the running service.

use crate::machine::{Machine, SERVICE};
use std::collections::BTreeSet;

/// Runs in the sandbox of the service, as its user, and prints what is refused.
const PROBE: &str = include_str!("probe.py");

/// What `/proc` says of the service's process: the directive, a command with `$p` as its directory, and the output.
const OBSERVED: &[(&str, &str, &str)] = &[
    ("User", "stat -c %U $p", "aisopod-gateway"),
    ("Group", "stat -c %G $p", "aisopod-gateway"),
    ("UMask", "awk '/^Umask:/ {print $2}' $p/status", "0077"),
    ("LimitCORE", "awk '/core file/ {print $5, $6}' $p/limits", "0 0"),
    ("CapabilityBoundingSet", "awk '/^CapBnd:/ {print $2}' $p/status", "0000000000000000"),
    ("AmbientCapabilities", "awk '/^CapAmb:/ {print $2}' $p/status", "0000000000000000"),
    ("NoNewPrivileges", "awk '/^NoNewPrivs:/ {print $2}' $p/status", "1"),
    ("SystemCallFilter", "awk '/^Seccomp:/ {print $2}' $p/status", "2"),
    ("PrivateUsers", "test $(readlink $p/ns/user) != $(readlink /proc/1/ns/user) && echo other", "other"),
    ("PrivateMounts", "test $(readlink $p/ns/mnt) != $(readlink /proc/1/ns/mnt) && echo other", "other"),
    ("ProtectHostname", "test $(readlink $p/ns/uts) != $(readlink /proc/1/ns/uts) && echo other", "other"),
    ("ProtectSystem", "awk '$5 == \"/\" {print substr($6, 1, 2)}' $p/mountinfo | tail -n 1", "ro"),
    ("ProtectHome", "awk '$5 == \"/root\" {print substr($6, 1, 2)}' $p/mountinfo", "ro"),
    ("PrivateTmp", "awk '$5 == \"/tmp\" {print $4}' $p/mountinfo | grep -c systemd-private", "1"),
    ("PrivateDevices", "ls $p/root/dev | grep -c -e '^mem$' -e '^kmsg$' -e '^sd' -e '^vd' || true", "0"),
    ("ProtectProc", "awk '$5 == \"/proc\"' $p/mountinfo | grep -o hidepid=invisible | tail -n 1", "hidepid=invisible"),
    ("ProcSubset", "awk '$5 == \"/proc\"' $p/mountinfo | grep -o subset=pid | tail -n 1", "subset=pid"),
    ("ProtectControlGroups", "awk '$5 == \"/sys/fs/cgroup\" {print substr($6, 1, 2)}' $p/mountinfo | tail -n 1", "ro"),
    ("ProtectKernelTunables", "awk '$5 == \"/sys\" {print substr($6, 1, 2)}' $p/mountinfo | tail -n 1", "ro"),
    ("RuntimeDirectory", "stat -c %U /run/aisopod-gateway", "aisopod-gateway"),
    ("RuntimeDirectoryMode", "stat -c %a /run/aisopod-gateway", "750"),
];

/// What the probe prints for these directives.
const REFUSED: &[(&str, &str)] = &[
    ("LockPersonality", "EPERM"),
    ("MemoryDenyWriteExecute", "EPERM"),
    ("ProtectClock", "EPERM"),
    ("ProtectKernelLogs", "EPERM"),
    ("RestrictAddressFamilies", "EAFNOSUPPORT"),
    ("RestrictNamespaces", "EPERM"),
    ("RestrictRealtime", "EPERM"),
    ("RestrictSUIDSGID", "EPERM"),
    ("SystemCallErrorNumber", "EPERM"),
];

/// What only systemd can tell: these have no effect that a process can see at any time.
const SHOWN: &[(&str, &str)] = &[
    ("DevicePolicy", "closed"),
    ("ProtectKernelModules", "yes"),
    ("RemoveIPC", "yes"),
    ("SystemCallArchitectures", "native"),
    ("TasksMax", "256"),
];

#[test]
fn every_directive_of_the_sandbox_is_in_force() {
    let Some(machine) = Machine::with_package() else { return };
    let pid = machine.property("MainPID");
    for (directive, command, expected) in OBSERVED {
        assert_eq!(machine.run(&format!("p=/proc/{pid}; {command}")), *expected, "{directive}");
    }
    for (directive, expected) in SHOWN {
        assert_eq!(machine.property(directive), *expected, "{directive}");
    }
    machine.run(&format!("cat > /opt/test/probe.py <<'END'\n{PROBE}\nEND"));
    machine.override_unit(SERVICE, "[Service]\nExecStartPre=/usr/bin/python3 /opt/test/probe.py\n");
    machine.run("systemctl restart aisopod-gateway");
    for (directive, expected) in REFUSED {
        machine.wait_for_journal(&format!("probe {directive} {expected}"));
    }
    let tested: BTreeSet<_> = OBSERVED.iter().map(|(directive, ..)| *directive).collect();
    let tested = tested.into_iter().chain(REFUSED.iter().chain(SHOWN).map(|(directive, _)| *directive));
    let unit = include_str!("../../systemd/aisopod-gateway.service");
    let service = unit.split("LimitCORE").nth(1).unwrap().split("[Install]").next().unwrap();
    let used = service.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let used: BTreeSet<_> = used.map(|(directive, _)| directive).filter(|directive| !directive.is_empty()).collect();
    let tested: BTreeSet<_> = tested.collect();
    let untested: Vec<_> = used.difference(&tested).collect();
    assert!(untested.is_empty(), "{untested:?}");
    let exposure = machine.run("systemd-analyze security --no-pager aisopod-gateway.service | tail -n 1");
    println!("{exposure}");
}
