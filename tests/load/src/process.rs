//! What the kernel tells of the server's processes, summed over them.

use crate::failure::Failure;
use std::fs;
use std::ops::Sub;
use std::path::PathBuf;

/// `USER_HZ`: what `/proc/PID/stat` counts CPU time in, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What processes have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Seconds outside the kernel, to a hundredth.
    pub user_seconds: f64,
    /// Seconds in the kernel, to a hundredth.
    pub system_seconds: f64,
    /// Seconds on a CPU, to a nanosecond, of all threads that live; `None` where the kernel doesn't count it.
    pub nanoseconds: Option<u64>,
    /// Switches to another task because there was nothing to do.
    pub voluntary_switches: u64,
    /// Switches to another task because it was that one's turn.
    pub nonvoluntary_switches: u64,
}

impl Usage {
    /// CPU seconds, as precise as they are known.
    pub fn cpu_seconds(&self) -> f64 {
        match self.nanoseconds {
            Some(nanoseconds) if nanoseconds > 0 => nanoseconds as f64 / 1e9,
            _ => self.user_seconds + self.system_seconds,
        }
    }
}

impl Sub for Usage {
    type Output = Usage;

    /// A thread that ended in between takes its time with it: never below zero.
    fn sub(self, earlier: Usage) -> Usage {
        Usage {
            user_seconds: (self.user_seconds - earlier.user_seconds).max(0.0),
            system_seconds: (self.system_seconds - earlier.system_seconds).max(0.0),
            nanoseconds: self.nanoseconds.zip(earlier.nanoseconds).map(|(now, then)| now.saturating_sub(then)),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            nonvoluntary_switches: self.nonvoluntary_switches.saturating_sub(earlier.nonvoluntary_switches),
        }
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// `VmRSS`.
    pub resident: u64,
    /// Private pages, clean and dirty; `None` where the kernel doesn't say.
    pub private: Option<u64>,
}

/// What these processes have used so far.
pub fn usage(pids: &[u32]) -> Result<Usage, Failure> {
    let mut sum = Usage { nanoseconds: Some(0), ..Usage::default() };
    for pid in pids {
        let stat = read(*pid, "stat")?;
        let (user, system) = ticks(&stat).ok_or_else(|| unreadable(*pid, "stat"))?;
        sum.user_seconds += user / TICKS_PER_SECOND;
        sum.system_seconds += system / TICKS_PER_SECOND;
        for thread in threads(*pid)? {
            // A thread may end while it is looked at.
            let Ok(status) = fs::read_to_string(thread.join("status")) else { continue };
            sum.voluntary_switches += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            sum.nonvoluntary_switches += field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
            let on_cpu = fs::read_to_string(thread.join("schedstat")).ok();
            let on_cpu = on_cpu.and_then(|text| text.split_ascii_whitespace().next()?.parse::<u64>().ok());
            sum.nanoseconds = sum.nanoseconds.zip(on_cpu).map(|(sum, more)| sum + more);
        }
    }
    Ok(sum)
}

/// Their memory.
pub fn memory(pids: &[u32]) -> Result<Memory, Failure> {
    let mut sum = Memory { resident: resident(pids)?, private: Some(0) };
    for pid in pids {
        let rollup = read(*pid, "smaps_rollup").ok();
        let private = rollup.and_then(|text| Some(field(&text, "Private_Clean:")? + field(&text, "Private_Dirty:")?));
        sum.private = sum.private.zip(private).map(|(sum, more)| sum + more * 1024);
    }
    Ok(sum)
}

/// Their resident memory in bytes, which is cheap to ask for.
pub fn resident(pids: &[u32]) -> Result<u64, Failure> {
    let mut sum = 0;
    for pid in pids {
        let status = read(*pid, "status")?;
        sum += field(&status, "VmRSS:").ok_or_else(|| unreadable(*pid, "status"))? * 1024;
    }
    Ok(sum)
}

fn threads(pid: u32) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| gone(pid, error))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn read(pid: u32, name: &str) -> Result<String, Failure> {
    fs::read_to_string(format!("/proc/{pid}/{name}")).map_err(|error| gone(pid, error))
}

fn gone(pid: u32, error: std::io::Error) -> Failure {
    Failure::Run(format!("process {pid} can't be looked at, or has ended: {error}"))
}

fn unreadable(pid: u32, name: &str) -> Failure {
    Failure::Run(format!("/proc/{pid}/{name} has no figures: the process has ended"))
}

/// `utime` and `stime` of `/proc/PID/stat`.
fn ticks(stat: &str) -> Option<(f64, f64)> {
    // The second field is the program's name in parentheses, which may hold anything; behind it comes the third.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(14 - 3);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The number behind a name at a line's begin.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_figures() {
        let pid = std::process::id();
        let before = usage(&[pid]).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_millis(50);
        while std::time::Instant::now() < until {}
        let used = usage(&[pid]).unwrap() - before;
        assert!(used.cpu_seconds() < 10.0, "{used:?}");
        let memory = memory(&[pid]).unwrap();
        assert!(memory.resident > 100_000 && memory.private.is_none_or(|private| private <= memory.resident * 2));
    }

    #[test]
    fn a_process_that_is_gone_is_named() {
        // Beyond the greatest pid there can be.
        assert!(usage(&[5_000_000]).unwrap_err().to_string().contains("5000000"));
        assert!(memory(&[5_000_000]).is_err());
    }

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 31 0 0 20";
        assert_eq!(ticks(stat), Some((250.0, 31.0)));
        assert_eq!(ticks("7 (a) S 1"), None);
    }
}
