//! How long something takes, at the longest.

use crate::process::ThreadTimes;
use crate::report::Report;
use std::time::{Duration, Instant};

/// The longest that anybody is to wait in a [`WINDOW`], which is the median of all windows: a machine with something else to
/// do takes a processor away in the middle of anything, and may itself be one of several on a larger one.
const LIMIT: Duration = Duration::from_millis(2);

/// What is shorter is not looked at more closely.
const SHORT: Duration = Duration::from_micros(100);

/// As long as a tick of the heartbeat: each turn of the wheel is in one of them, or in two.
const WINDOW: Duration = Duration::from_millis(100);

/// Times of one thing that is done again and again by one thread.
pub struct Pauses {
    what: &'static str,
    /// Of the threads that may have been waited for, this one among them.
    threads: Vec<ThreadTimes>,
    began: Instant,
    count: u64,
    total: Duration,
    /// Of each window, without the time for which those threads were in line for a processor.
    longest: Vec<Duration>,
}

/// The moment before something.
pub struct Before {
    in_line: Duration,
    began: Instant,
}

impl Pauses {
    /// None yet; the first window begins now. Must be called by the thread that does it.
    pub fn new(what: &'static str) -> Self {
        let (threads, began) = (vec![ThreadTimes::of_this_thread()], Instant::now());
        Pauses { what, threads, began, count: 0, total: Duration::ZERO, longest: Vec::new() }
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

    fn in_line(&self) -> Duration {
        self.threads.iter().map(ThreadTimes::in_line).sum()
    }

    /// Counts what was done since.
    pub fn add(&mut self, before: &Before) {
        let now = Instant::now();
        let time = now - before.began;
        let in_line = if time > SHORT { self.in_line() - before.in_line } else { Duration::ZERO };
        let window = ((now - self.began).as_nanos() / WINDOW.as_nanos()) as usize;
        if window >= self.longest.len() {
            self.longest.resize(window + 1, Duration::ZERO);
        }
        self.longest[window] = self.longest[window].max(time.saturating_sub(in_line));
        self.count += 1;
        self.total += time;
    }

    /// Reports the mean and the longest, which is to stay within the limit.
    pub fn report(&self, report: &mut Report) {
        let (what, longest) = self.report_times(report);
        report.add_limited(what, longest, "ms", milliseconds(LIMIT));
    }

    /// Reports the mean and the longest of what may take as long as it likes.
    pub fn report_without_limit(&self, report: &mut Report) {
        let (what, longest) = self.report_times(report);
        report.add(what, longest, "ms");
    }

    /// Returns the longest in a window, the median, and how that is called.
    fn report_times(&self, report: &mut Report) -> (String, f64) {
        let (what, mean) = (self.what, self.total.as_secs_f64() * 1e6 / self.count as f64);
        let mut longest = self.longest.clone();
        longest.sort();
        report.add(format!("{what}: mean of {}", self.count), mean, "us");
        report.add(format!("{what}: longest"), milliseconds(longest[longest.len() - 1]), "ms");
        (format!("{what}: longest in {WINDOW:?}, the median"), milliseconds(longest[longest.len() / 2]))
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
