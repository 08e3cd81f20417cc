//! Who runs first when cores are shared: the healthy clients, since their own delays would look like the gateway's.

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_setaffinity};

/// How much the healthy clients' thread is preferred.
const NICE: i32 = -10;

/// A preferred thread, until this is dropped.
pub struct Preferred;

impl Preferred {
    /// Prefers this thread, if the process may; threads and processes that it starts inherit that.
    pub fn thread() -> Preferred {
        // On Linux, the process 0 is the calling thread.
        if setpriority_process(None, NICE).is_err() {
            eprintln!("not root: the healthy clients' thread has no priority, and its own delays are larger");
        }
        Preferred
    }
}

impl Drop for Preferred {
    fn drop(&mut self) {
        reset();
    }
}

/// Gives this thread the usual priority.
pub fn reset() {
    // Only raising it can fail.
    let _ = setpriority_process(None, 0);
}

/// Runs this thread, and those that it starts, on this core only.
pub fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    if let Err(error) = sched_setaffinity(None, &cores) {
        eprintln!("can't run on core {core} only: {error}");
    }
}
