//! What the kernel says of this process and its threads.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Resident bytes.
pub fn resident_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("a Linux kernel");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kilobytes * 1024.0
}

/// One thread's time, in CPU and in line for it, for any thread to read.
pub struct ThreadTimes(File);

impl ThreadTimes {
    /// The calling thread's; any thread may read them.
    pub fn of_this_thread() -> Self {
        let link = fs::read_link("/proc/thread-self").expect("a Linux kernel");
        let path = fs::canonicalize(std::path::Path::new("/proc").join(link)).expect("this thread").join("schedstat");
        ThreadTimes(File::open(path).expect("a kernel that counts CPU time by thread"))
    }

    /// CPU time so far, as of the kernel's last tick.
    pub fn cpu(&self) -> Duration {
        self.read()[0]
    }

    /// For how long it could have run, and another had the processor.
    pub fn in_line(&self) -> Duration {
        self.read()[1]
    }

    fn read(&self) -> [Duration; 2] {
        let mut buffer = [0; 128];
        let length = self.0.read_at(&mut buffer, 0).expect("a thread that is there");
        let text = str::from_utf8(&buffer[..length]).expect("digits");
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().expect("nanoseconds"));
        [(); 2].map(|()| Duration::from_nanos(numbers.next().expect("two numbers")))
    }
}
