//! Child processes, which end with their guard, and what the kernel says of them.

use parking_lot::Mutex;
use std::fs;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Memory is looked at this often,
const LOOK: Duration = Duration::from_millis(100);
/// has settled once it was the same so many times in a row,
const SAME: u32 = 10;
/// and is taken as it is after this.
const LONGEST_SETTLING: Duration = Duration::from_secs(15);

/// Every child that has not been ended.
static CHILDREN: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// Ends every child there is, and this process.
pub fn end_all(code: i32) -> ! {
    // Held to the end: nobody starts another.
    let children = CHILDREN.lock();
    children.iter().for_each(|child| end(child));
    std::process::exit(code)
}

fn end(child: &Mutex<Child>) {
    let mut child = child.lock();
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// A child process, killed when dropped.
pub struct Process {
    child: Arc<Mutex<Child>>,
    pid: u32,
}

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (pid, child) = (child.id(), Arc::new(Mutex::new(child)));
        CHILDREN.lock().push(child.clone());
        Process { child, pid }
    }

    /// Does something with the child itself, such as taking its pipes.
    pub fn with<R>(&self, act: impl FnOnce(&mut Child) -> R) -> R {
        act(&mut self.child.lock())
    }

    /// What the kernel calls it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory in bytes, once it has stopped changing.
    pub fn settled_resident_bytes(&self) -> f64 {
        let deadline = Instant::now() + LONGEST_SETTLING;
        let (mut last, mut same) = (self.resident_bytes(), 0);
        while same < SAME && Instant::now() < deadline {
            thread::sleep(LOOK);
            let now = self.resident_bytes();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
        if same < SAME {
            eprintln!("memory still changes after {LONGEST_SETTLING:?}");
        }
        last as f64
    }

    fn resident_bytes(&self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kilobytes * 1024
    }

    fn read(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&self.child);
        CHILDREN.lock().retain(|child| !Arc::ptr_eq(child, &self.child));
    }
}
