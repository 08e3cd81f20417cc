//! Child processes, which are killed when their guard is dropped.

use std::cell::RefCell;
use std::process::{Child, ChildStdout, Command, ExitStatus};

/// A child process, killed when dropped.
pub struct Process(RefCell<Child>);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Process(RefCell::new(child))
    }

    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.0.borrow_mut().stdout.take()
    }

    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.0.borrow_mut().try_wait().expect("the child is ours")
    }

    pub fn pid(&self) -> u32 {
        self.0.borrow().id()
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
