//! The watchdog: a gateway in which a part hangs is restarted.

use crate::machine::{Machine, SERVICE};

/// Runs the hanging gateway with a watchdog of three seconds, makes a part of it hang, and waits for the restart.
fn assert_restarted(part: &str) {
    let Some(machine) = Machine::with_package() else { return };
    machine.override_unit(
        SERVICE,
        &format!(
            "[Service]\nExecStart=\nExecStart=/opt/test/hanging --config /etc/aisopod-gateway/config.toml\n\
         Environment=TEST_HANG={part}\nWatchdogSec=3\n"
        ),
    );
    machine.run("systemctl restart aisopod-gateway");
    let pid = machine.property("MainPID");
    machine.signal("USR1");
    if part == "accept_loop" {
        // It hangs with the next connection.
        machine.output("curl -sS --max-time 1 http://127.0.0.1:8080/readyz");
    }
    machine.wait_for_property("NRestarts", |restarts| restarts == "1");
    machine.wait_for_journal("Watchdog timeout");
    // Each of the others hangs on a thread of the runtime, on which the task that logs this may be waiting.
    if part == "registry" {
        machine.wait_for_journal("not responding, the watchdog isn't notified part=registry");
    }
    machine.wait_for_property("ActiveState", |state| state == "active");
    assert_ne!(machine.property("MainPID"), pid);
    assert_eq!(machine.run("curl -sS http://127.0.0.1:8080/readyz"), r#"{"status":"ready"}"#);
}

#[test]
fn gateway_with_a_hanging_accept_loop_is_restarted() {
    assert_restarted("accept_loop");
}

#[test]
fn gateway_with_a_locked_registry_is_restarted() {
    assert_restarted("registry");
}

#[test]
fn gateway_with_a_hanging_timer_wheel_is_restarted() {
    assert_restarted("timer_wheel");
}

#[test]
fn gateway_that_works_is_not_restarted() {
    let Some(machine) = Machine::with_package() else { return };
    machine.override_unit(SERVICE, "[Service]\nWatchdogSec=1\n");
    machine.run("systemctl restart aisopod-gateway");
    let pid = machine.property("MainPID");
    let first = machine.property("WatchdogTimestampMonotonic");
    // Several timeouts later.
    for _ in 0..9 {
        let last = machine.property("WatchdogTimestampMonotonic");
        machine.wait_for_property("WatchdogTimestampMonotonic", |time| time != last);
    }
    assert_ne!(machine.property("WatchdogTimestampMonotonic"), first);
    assert_eq!((machine.property("NRestarts"), machine.property("MainPID")), ("0".to_owned(), pid));
}
