//! A real gateway on a free port, clients for it, child processes and tools. [`test_support`] has frames and `/proc`.

pub mod client;
pub mod config_check;
pub mod echo_handler;
pub mod gateway;
pub mod http;
pub mod namespace;
pub mod process;
pub mod raw_client;
pub mod test_gateway;
pub mod tools;

pub use client::Client;
pub use gateway::Gateway;

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails. A passing test never waits that long.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until `condition` holds. Panics with `what` after [`TIMEOUT`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Waits until `attempt` returns a value. Panics with `what` after [`TIMEOUT`].
pub fn wait_for<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    poll(attempt, || format!("timed out: {what}"))
}

/// The same with any message.
fn poll<T>(mut attempt: impl FnMut() -> Option<T>, message: impl Fn() -> String) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "{}", message());
        thread::sleep(Duration::from_millis(5));
    }
}
