//! The runtime that serves many clients in turn.

use std::io;
use tokio::runtime::{Builder, Runtime};

/// Sockets that are looked after before the next look at who is ready. A worker's own queue holds 256 tasks; what overflows
/// it waits behind whoever is ready again sooner. With tokio's 1,024, of 1,000 busy clients some waited seven times as
/// long as the others.
const SOCKETS_AT_ONCE: usize = 128;
/// Tasks that run before that look at the latest: all of those, and what they wake.
const TASKS_AT_ONCE: u32 = 256;

/// A runtime as the daemon's: a worker thread for each core that the process may use.
///
/// # Errors
/// The system's, when it has no thread or descriptor left.
pub fn runtime() -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().max_io_events_per_tick(SOCKETS_AT_ONCE).event_interval(TASKS_AT_ONCE).build()
}
