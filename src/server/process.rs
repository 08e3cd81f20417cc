//! This process's memory and descriptors, read from `/proc`.

use parking_lot::Mutex;
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The limits of this process.
pub const LIMITS: &str = "/proc/self/limits";

/// The limit assumed if `/proc` can't be read: Linux's default soft limit.
const DEFAULT_DESCRIPTOR_LIMIT: usize = 1024;

/// How long values are cached: before Linux 6.2, counting descriptors takes time proportional to their number.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Reads this process's values, at most once a second.
#[derive(Debug, Default)]
pub struct ProcessProbe(Mutex<Option<(Instant, Process)>>);

impl ProcessProbe {
    /// The values, at most one second old.
    pub fn read(&self) -> Process {
        let mut last = self.0.lock();
        match *last {
            Some((at, process)) if at.elapsed() < MAX_AGE => process,
            _ => last.insert((Instant::now(), Process::read())).1,
        }
    }
}

/// Memory and descriptors of this process.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Process {
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub open_descriptors: usize,
    /// The limit on open descriptors (soft `RLIMIT_NOFILE`).
    pub descriptor_limit: usize,
}

impl Process {
    /// Reads the current values. One that can't be read is 0, or the default for `descriptor_limit`.
    fn read() -> Self {
        Process {
            resident_bytes: field("/proc/self/status", "VmRSS:").unwrap_or(0) as u64 * 1024,
            open_descriptors: open_descriptors(),
            descriptor_limit: descriptor_limit(),
        }
    }
}

/// See [`Gateway::descriptor_limit`](crate::Gateway::descriptor_limit).
pub fn descriptor_limit() -> usize {
    field(LIMITS, "Max open files").unwrap_or(DEFAULT_DESCRIPTOR_LIMIT)
}

fn open_descriptors() -> usize {
    match fs::metadata("/proc/self/fd").map(|metadata| metadata.len() as usize) {
        // Before Linux 6.2 the length is 0: count the entries, without the descriptor that the counting opens.
        Ok(0) => fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1)),
        Ok(count) => count,
        Err(_) => 0,
    }
}

/// The number that follows `label` at the start of a line; `usize::MAX` for a word such as `unlimited`.
pub fn field(path: impl AsRef<Path>, label: &str) -> Option<usize> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(label))?;
    Some(value.split_ascii_whitespace().next()?.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_proc() {
        let process = Process::read();
        assert!(process.resident_bytes > 100_000, "{process:?}");
        assert!(process.open_descriptors >= 3, "{process:?}");
        assert!(process.descriptor_limit >= process.open_descriptors, "{process:?}");
    }
}
