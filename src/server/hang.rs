//! For a test of the watchdog: makes a part of the gateway hang.

use super::liveness::Unresponsive;
use super::state::ServerState;
use crate::labels::Label;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Makes the part hang, for as long as the process runs, that the environment variable `TEST_HANG` names.
pub fn hang(server: &Arc<ServerState>) {
    let part = std::env::var("TEST_HANG").ok().and_then(|name| Unresponsive::parse(&name));
    let server = server.clone();
    match part.expect("TEST_HANG is the label of a part") {
        // The next connection is added under this lock.
        Unresponsive::AcceptLoop => drop(thread::spawn(move || server.pending.hold_lock(sleep_forever))),
        Unresponsive::Registry => drop(thread::spawn(move || server.registry.hold_lock(sleep_forever))),
        Unresponsive::TimerWheel => {
            std::mem::forget(server.heartbeat.schedule(Duration::ZERO, sleep_forever));
        }
    }
}

fn sleep_forever() {
    loop {
        thread::park();
    }
}
