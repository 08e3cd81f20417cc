//! What the kernel tells of the server's processes, summed over them.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Sub;
use std::path::PathBuf;

/// `USER_HZ`: what `/proc/PID/stat` counts CPU time in, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What processes have used so far.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Seconds outside the kernel, to a hundredth.
    pub user_seconds: f64,
    /// Seconds in the kernel, to a hundredth.
    pub system_seconds: f64,
    /// Nanoseconds on a CPU, of each thread that lives, by its folder in `/proc`; `None` where that isn't known of all.
    pub nanoseconds: Option<BTreeMap<PathBuf, u64>>,
    /// Switches to another task because there was nothing to do.
    pub voluntary_switches: u64,
    /// Switches to another task because it was that one's turn.
    pub nonvoluntary_switches: u64,
}

impl Usage {
    /// CPU seconds, as precise as they are known.
    pub fn cpu_seconds(&self) -> f64 {
        match &self.nanoseconds {
            Some(threads) => threads.values().sum::<u64>() as f64 / 1e9,
            None => self.user_seconds + self.system_seconds,
        }
    }
}

/// What each thread has used since; `None` if one has ended, which takes its time with it.
fn since(now: BTreeMap<PathBuf, u64>, then: &BTreeMap<PathBuf, u64>) -> Option<BTreeMap<PathBuf, u64>> {
    let all_live = then.keys().all(|thread| now.contains_key(thread));
    let used = |(thread, now): (PathBuf, u64)| {
        let then = then.get(&thread).copied().unwrap_or(0);
        (thread, now.saturating_sub(then))
    };
    all_live.then(|| now.into_iter().map(used).collect())
}

impl Sub for Usage {
    type Output = Usage;

    /// A thread that ended in between takes its switches with it: never below zero.
    fn sub(self, earlier: Usage) -> Usage {
        Usage {
            user_seconds: (self.user_seconds - earlier.user_seconds).max(0.0),
            system_seconds: (self.system_seconds - earlier.system_seconds).max(0.0),
            nanoseconds: self.nanoseconds.zip(earlier.nanoseconds).and_then(|(now, then)| since(now, &then)),
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
    let mut sum = Usage { nanoseconds: Some(BTreeMap::new()), ..Usage::default() };
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
            let on_cpu = on_cpu.and_then(|text| text.split_ascii_whitespace().next()?.parse().ok());
            sum.nanoseconds = sum.nanoseconds.zip(on_cpu).map(|(mut threads, nanoseconds)| {
                threads.insert(thread, nanoseconds);
                threads
            });
        }
    }
    // A kernel that has the file and doesn't count.
    sum.nanoseconds = sum.nanoseconds.filter(|threads| threads.values().any(|nanoseconds| *nanoseconds > 0));
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
    use std::time::{Duration, Instant};

    #[test]
    fn this_process_has_figures() {
        let pid = std::process::id();
        let before = usage(&[pid]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        // Other tests' threads may end meanwhile: then it takes until the coarse figure has moved.
        while (usage(&[pid]).unwrap() - before.clone()).cpu_seconds() == 0.0 {
            assert!(Instant::now() < deadline, "no CPU time in {before:?}");
        }
        let memory = memory(&[pid]).unwrap();
        assert!(memory.resident > 100_000 && memory.private.is_none_or(|private| private <= memory.resident * 2));
    }

    fn of_threads(figures: &[(&str, u64)]) -> BTreeMap<PathBuf, u64> {
        figures.iter().map(|(name, nanoseconds)| (PathBuf::from(name), *nanoseconds)).collect()
    }

    #[test]
    fn a_thread_that_ended_leaves_the_coarse_figure() {
        let before =
            Usage { user_seconds: 1.0, nanoseconds: Some(of_threads(&[("a", 5), ("b", 900)])), ..Usage::default() };
        let now = |figures: &[(&str, u64)]| {
            let nanoseconds = Some(of_threads(figures));
            Usage { user_seconds: 1.25, system_seconds: 0.25, nanoseconds, ..Usage::default() } - before.clone()
        };
        assert_eq!(now(&[("a", 8), ("b", 900), ("new", 40)]).cpu_seconds(), 43e-9);
        assert_eq!(now(&[("a", 8), ("new", 4000)]).cpu_seconds(), 0.5);
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
