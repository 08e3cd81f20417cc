//! The CPU time of a process, in nanoseconds where the kernel counts them.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use test_support::proc::{self, cpu_time, thread_time, threads};

#[derive(Clone, Debug, Default)]
pub struct CpuTime {
    /// Of all threads, in steps of 10 ms.
    total: Duration,
    /// Of each living thread, in nanoseconds; `None` if the kernel doesn't count them.
    by_thread: Option<BTreeMap<PathBuf, Duration>>,
}

impl CpuTime {
    pub fn of(pid: u32) -> Result<CpuTime, Failure> {
        let fail = |error| Failure::of("CPU time", error);
        let total = cpu_time(pid).map_err(fail)?;
        // A thread may end meanwhile.
        let times = threads(pid).map_err(fail)?.into_iter().filter_map(|thread| {
            let running = thread_time(&thread).ok()?;
            Some((thread, running))
        });
        let by_thread: BTreeMap<_, _> = times.collect();
        let is_counted = by_thread.values().any(|running| !running.is_zero());
        Ok(CpuTime { total, by_thread: is_counted.then_some(by_thread) })
    }

    /// Seconds used since `earlier`: to the nanosecond or, if a thread has ended or isn't counted, in steps of 10 ms.
    pub fn since(&self, earlier: &CpuTime) -> f64 {
        let exact = self.by_thread.as_ref().zip(earlier.by_thread.as_ref()).and_then(|(now, then)| {
            let all_live = then.keys().all(|thread| now.contains_key(thread));
            let used =
                |(thread, now): (_, &Duration)| now.saturating_sub(then.get(thread).copied().unwrap_or_default());
            all_live.then(|| now.iter().map(used).sum::<Duration>())
        });
        exact.unwrap_or_else(|| self.total.saturating_sub(earlier.total)).as_secs_f64()
    }
}

pub fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    proc::resident_bytes(pid).map_err(|error| Failure::of("memory", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_thread_falls_back_to_coarse_time() {
        let time = |milliseconds, threads: &[(&str, u64)]| {
            let by_thread =
                threads.iter().map(|(name, running)| (name.into(), Duration::from_nanos(*running))).collect();
            CpuTime { total: Duration::from_millis(milliseconds), by_thread: Some(by_thread) }
        };
        let before = time(1000, &[("a", 5), ("b", 900)]);
        assert_eq!(time(1500, &[("a", 8), ("b", 900), ("new", 40)]).since(&before), 43e-9);
        assert_eq!(time(1500, &[("a", 8), ("new", 4000)]).since(&before), 0.5);
    }
}
