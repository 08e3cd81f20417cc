//! Child processes, which are killed when their guard is dropped.

use std::cell::RefCell;
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};
use test_support::proc;

/// Interval at which memory is read.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// Equal samples in a row after which memory has settled.
const SETTLED_SAMPLES: u32 = 10;
/// Memory that hasn't settled by then is reported as it is.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);

/// A child process, killed when dropped.
pub struct Process(RefCell<Child>);

impl Process {
    /// Starts the command.
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Process(RefCell::new(child))
    }

    /// Takes the child's standard output.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.0.borrow_mut().stdout.take()
    }

    /// Returns the exit status, if the process has exited.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.0.borrow_mut().try_wait().expect("the child is ours")
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.0.borrow().id()
    }

    /// Resident memory in bytes, once it has stopped changing.
    pub fn settled_resident_bytes(&self) -> f64 {
        let resident = || proc::resident_bytes(self.pid()).unwrap_or_else(|error| panic!("{error}"));
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
        let child = self.0.get_mut();
        // It may have exited by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}
