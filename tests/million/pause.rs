//! How long something takes, at the longest; and how much of that was the machine's doing.

use crate::process::ThreadTimes;
use crate::report::Report;
use std::time::{Duration, Instant};

/// The longest that anybody is to wait for the gateway's own doing. A machine with something else to do takes a
/// processor away in the middle of it, so one time in [`ONE_IN`] may be longer.
const LIMIT: Duration = Duration::from_millis(2);
const ONE_IN: u64 = 10_000;

/// What is shorter is not looked at more closely.
const SHORT: Duration = Duration::from_micros(100);

/// Times of one thing that is done again and again by one thread.
pub struct Pauses {
    what: &'static str,
    /// Of the threads that may have been waited for, this one among them.
    threads: Vec<ThreadTimes>,
    count: u64,
    total: Duration,
    longest: Duration,
    /// All that were not [`SHORT`], less the time for which those threads were in line for a processor.
    long: Vec<Duration>,
}

/// The moment before something.
pub struct Before {
    in_line: Duration,
    began: Instant,
}

impl Pauses {
    /// None yet. Must be called by the thread that does it.
    pub fn new(what: &'static str) -> Self {
        let (count, total, longest, long) = Default::default();
        Pauses { what, threads: vec![ThreadTimes::of_this_thread()], count, total, longest, long }
    }

    /// The same for something that may have to wait for what another thread does.
    pub fn behind(what: &'static str, other: ThreadTimes) -> Self {
        let mut pauses = Pauses::new(what);
        pauses.threads.push(other);
        pauses
    }

    /// Does it once.
    pub fn time<R>(&mut self, act: impl FnOnce() -> R) -> R {
        let before = self.before();
        let result = act();
        self.add(&before);
        result
    }

    /// The time now.
    pub fn before(&self) -> Before {
        Before { in_line: self.in_line(), began: Instant::now() }
    }

    /// Counts what was done since.
    pub fn add(&mut self, before: &Before) {
        let time = before.began.elapsed();
        self.count += 1;
        self.total += time;
        self.longest = self.longest.max(time);
        if time > SHORT {
            let in_line = self.in_line().saturating_sub(before.in_line);
            self.long.push(time.saturating_sub(in_line));
        }
    }

    fn in_line(&self) -> Duration {
        self.threads.iter().map(ThreadTimes::in_line).sum()
    }

    /// Reports the mean and the longest, of which all but one in [`ONE_IN`] are to stay within the limit.
    pub fn report(&self, report: &mut Report) {
        let mut longest_first = self.long.clone();
        longest_first.sort_by(|one, other| other.cmp(one));
        self.report_longest(longest_first.first(), report);
        let left_out = (self.count / ONE_IN) as usize;
        let longest = longest_first.get(left_out).copied().unwrap_or(SHORT);
        let what = format!("{}: the same, one in {ONE_IN} left out", self.what);
        report.add_limited(what, milliseconds(longest), "ms", milliseconds(LIMIT));
    }

    /// Reports the mean and the longest of what may take as long as it likes.
    pub fn report_without_limit(&self, report: &mut Report) {
        self.report_longest(self.long.iter().max(), report);
    }

    fn report_longest(&self, longest_running: Option<&Duration>, report: &mut Report) {
        let (what, mean) = (self.what, self.total.as_secs_f64() * 1e6 / self.count as f64);
        report.add(format!("{what}: mean of {}", self.count), mean, "us");
        report.add(format!("{what}: longest"), milliseconds(self.longest), "ms");
        let running = milliseconds(longest_running.copied().unwrap_or(SHORT).min(self.longest));
        report.add(format!("{what}: longest, less the time in line for a processor"), running, "ms");
        let over = self.long.iter().filter(|time| **time > LIMIT).count();
        report.add(format!("{what}: so over {LIMIT:?}"), over as f64, "times");
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
