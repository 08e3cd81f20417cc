//! What the kernel reports of the server's process.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// `USER_HZ`: the unit of CPU time in `/proc/PID/stat` on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time that a process has used.
#[derive(Clone, Debug, Default)]
pub struct CpuTime {
    /// User and system time in seconds, in steps of 10 ms.
    seconds: f64,
    /// Nanoseconds on a CPU of each living thread; `None` if the kernel doesn't count them.
    nanoseconds: Option<BTreeMap<PathBuf, u64>>,
}

impl CpuTime {
    /// Reads the CPU time of a process.
    pub fn of(pid: u32) -> Result<CpuTime, Failure> {
        let seconds = parse_stat(&read(pid, "stat")?).ok_or_else(|| ended(pid))?;
        let mut nanoseconds = BTreeMap::new();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| ended(pid))?;
        for thread in threads.flatten().map(|entry| entry.path()) {
            // A thread may end meanwhile.
            let Ok(schedstat) = fs::read_to_string(thread.join("schedstat")) else { continue };
            if let Some(on_cpu) = schedstat.split_ascii_whitespace().next().and_then(|number| number.parse().ok()) {
                nanoseconds.insert(thread, on_cpu);
            }
        }
        // A kernel may have the file and count nothing.
        let is_counted = nanoseconds.values().any(|on_cpu| *on_cpu > 0);
        Ok(CpuTime { seconds, nanoseconds: is_counted.then_some(nanoseconds) })
    }

    /// Seconds used since an earlier time: exact, unless a thread ended meanwhile and took its count with it.
    pub fn since(&self, earlier: &CpuTime) -> f64 {
        let exact = self.nanoseconds.as_ref().zip(earlier.nanoseconds.as_ref()).and_then(|(now, then)| {
            let all_live = then.keys().all(|thread| now.contains_key(thread));
            let used = |(thread, now): (_, &u64)| now.saturating_sub(then.get(thread).copied().unwrap_or(0));
            all_live.then(|| now.iter().map(used).sum::<u64>() as f64 / 1e9)
        });
        exact.unwrap_or((self.seconds - earlier.seconds).max(0.0))
    }
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: Option<u64> = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| ended(pid))
}

fn read(pid: u32, name: &str) -> Result<String, Failure> {
    fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(|_| ended(pid))
}

fn ended(pid: u32) -> Failure {
    Failure::Run(format!("process {pid} doesn't exist"))
}

/// The sum of `utime` and `stime` in seconds.
fn parse_stat(stat: &str) -> Option<f64> {
    // The second field is the program's name in parentheses, which may contain any character.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(14 - 3);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn own_process_has_cpu_time_and_memory() {
        let pid = std::process::id();
        let before = CpuTime::of(pid).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while CpuTime::of(pid).unwrap().since(&before) == 0.0 {
            assert!(Instant::now() < deadline, "no CPU time after {before:?}");
        }
        assert!(resident_bytes(pid).unwrap() > 100_000);
    }

    #[test]
    fn ended_thread_falls_back_to_coarse_time() {
        let time = |seconds, threads: &[(&str, u64)]| {
            let nanoseconds = threads.iter().map(|(name, on_cpu)| (PathBuf::from(name), *on_cpu)).collect();
            CpuTime { seconds, nanoseconds: Some(nanoseconds) }
        };
        let before = time(1.0, &[("a", 5), ("b", 900)]);
        assert_eq!(time(1.5, &[("a", 8), ("b", 900), ("new", 40)]).since(&before), 43e-9);
        assert_eq!(time(1.5, &[("a", 8), ("new", 4000)]).since(&before), 0.5);
    }

    #[test]
    fn missing_process_is_named() {
        // Larger than any process ID.
        assert!(CpuTime::of(5_000_000).unwrap_err().to_string().contains("5000000"));
        assert!(resident_bytes(5_000_000).is_err());
    }

    #[test]
    fn stat_of_any_program_name_is_parsed() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 31 0 0 20";
        assert_eq!(parse_stat(stat), Some(2.81));
        assert_eq!(parse_stat("7 (a"), None);
    }
}
