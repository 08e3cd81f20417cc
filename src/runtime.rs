//! The tokio runtime, tuned for fairness among busy clients.

use std::io;
use std::pin::Pin;
use tokio::runtime::{Builder, Runtime};

/// A future on the heap that may run on any thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tasks that a worker runs between two polls of the IO driver. With tokio's default of 61, healthy clients waited up to
/// twice as long for one beside the tasks of attackers.
const EVENT_INTERVAL: u32 = 31;

/// Tasks that a worker runs between two looks at the global queue. A worker's local queue holds 256 tasks; if a poll of
/// the driver wakes more, half of that queue moves to the global one. By default tokio looks there as rarely as it
/// estimates from the length of its tasks, and tasks there wait while those in the local queue run several times.
const GLOBAL_QUEUE_INTERVAL: u32 = 2;

/// See [`Gateway::build_runtime`](crate::Gateway::build_runtime).
pub fn build_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .global_queue_interval(GLOBAL_QUEUE_INTERVAL)
        .build()
}
