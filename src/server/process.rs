//! What the kernel says of this process, from `/proc`.

use parking_lot::Mutex;
use serde::Serialize;
use std::fs;
use std::time::{Duration, Instant};

/// Assumed where `/proc` can't be read: what Linux gives a process by default.
const DEFAULT_DESCRIPTORS: usize = 1024;

/// How old the values may be that are shown: on old kernels they cost a look at every descriptor.
const FRESH: Duration = Duration::from_secs(1);

/// This process's values, read once a second at the most.
#[derive(Debug, Default)]
pub struct ProcessProbe(Mutex<Option<(Instant, Process)>>);

impl ProcessProbe {
    /// The present values, or those read at most a second ago.
    pub fn read(&self) -> Process {
        let mut last = self.0.lock();
        match *last {
            Some((at, process)) if at.elapsed() < FRESH => process,
            _ => last.insert((Instant::now(), Process::read())).1,
        }
    }
}

/// Memory and descriptors of this process.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Process {
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Descriptors that are open now.
    pub open_descriptors: usize,
    /// How many may be.
    pub descriptor_limit: usize,
}

impl Process {
    /// Reads the present values; what can't be read is 0.
    fn read() -> Self {
        Process {
            resident_bytes: field("/proc/self/status", "VmRSS:").unwrap_or(0) as u64 * 1024,
            open_descriptors: open_descriptors(),
            descriptor_limit: descriptor_limit(),
        }
    }
}

/// How many descriptors this process may have open (the soft `RLIMIT_NOFILE`).
pub fn descriptor_limit() -> usize {
    field("/proc/self/limits", "Max open files").unwrap_or(DEFAULT_DESCRIPTORS)
}

fn open_descriptors() -> usize {
    match fs::metadata("/proc/self/fd").map(|metadata| metadata.len() as usize) {
        // Linux before 6.2 doesn't tell: count them, less the one that counting opens.
        Ok(0) => fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1)),
        Ok(count) => count,
        Err(_) => 0,
    }
}

/// The first number behind a label that starts a line; a word instead of it (`unlimited`) counts as the most.
fn field(path: &str, label: &str) -> Option<usize> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(label))?;
    Some(value.split_ascii_whitespace().next()?.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let before = Process::read();
        assert!(before.resident_bytes > 100_000, "{before:?}");
        assert!(before.open_descriptors >= 3, "{before:?}");
        assert!(before.descriptor_limit >= before.open_descriptors, "{before:?}");
    }
}
