//! Child processes, which are killed when their guard is dropped.

use parking_lot::Mutex;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use test_support::proc;

/// Interval at which memory is read.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// Equal samples in a row after which memory has settled.
const SETTLED_SAMPLES: u32 = 10;
/// Memory that hasn't settled by then is reported as it is.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);

/// All children that are running.
static CHILDREN: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// Kills all children, and exits.
pub fn kill_all_and_exit(code: i32) -> ! {
    // Locked until the exit, so that no other child is started.
    let children = CHILDREN.lock();
    children.iter().for_each(|child| kill(child));
    std::process::exit(code)
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock();
    // It may have exited by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// A child process, killed when dropped.
pub struct Process {
    child: Arc<Mutex<Child>>,
    pid: u32,
}

impl Process {
    /// Starts the command.
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (pid, child) = (child.id(), Arc::new(Mutex::new(child)));
        CHILDREN.lock().push(child.clone());
        Process { child, pid }
    }

    /// Calls `f` with the child, for example to take its pipes.
    pub fn with<R>(&self, f: impl FnOnce(&mut Child) -> R) -> R {
        f(&mut self.child.lock())
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory in bytes, once it has stopped changing.
    pub fn settled_resident_bytes(&self) -> f64 {
        let resident = || proc::resident_bytes(self.pid).unwrap_or_else(|error| panic!("{error}"));
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let (mut last, mut equal) = (resident(), 0);
        while equal < SETTLED_SAMPLES && Instant::now() < deadline {
            thread::sleep(SAMPLE_INTERVAL);
            let now = resident();
            equal = if now == last { equal + 1 } else { 0 };
            last = now;
        }
        if equal < SETTLED_SAMPLES {
            eprintln!("memory still changes after {SETTLE_TIMEOUT:?}");
        }
        last as f64
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&self.child);
        CHILDREN.lock().retain(|child| !Arc::ptr_eq(child, &self.child));
    }
}
