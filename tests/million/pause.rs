//! How long something takes, at the longest.

use crate::report::Report;
use std::time::{Duration, Instant};

/// The longest that anybody is to wait, but for one time in [`ONE_IN`]: a machine with something else to do takes a
/// processor away in the middle of anything, and may itself be one of several on a larger one.
const LIMIT: Duration = Duration::from_millis(2);
const ONE_IN: u64 = 1000;

/// What is shorter is not looked at more closely.
const SHORT: Duration = Duration::from_micros(100);

/// Times of one thing that is done again and again by one thread.
#[derive(Default)]
pub struct Pauses {
    what: &'static str,
    count: u64,
    total: Duration,
    longest: Duration,
    /// All that were not [`SHORT`].
    long: Vec<Duration>,
}

impl Pauses {
    /// None yet.
    pub fn new(what: &'static str) -> Self {
        Pauses { what, ..Self::default() }
    }

    /// Does it once.
    pub fn time<R>(&mut self, act: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = act();
        self.add(began.elapsed());
        result
    }

    /// Counts what took so long.
    pub fn add(&mut self, time: Duration) {
        self.count += 1;
        self.total += time;
        self.longest = self.longest.max(time);
        if time > SHORT {
            self.long.push(time);
        }
    }

    /// Reports the mean and the longest, of which all but one in [`ONE_IN`] are to stay within the limit.
    pub fn report(&self, report: &mut Report) {
        self.report_times(report);
        let mut longest_first = self.long.clone();
        longest_first.sort_by(|one, other| other.cmp(one));
        let longest = longest_first.get((self.count / ONE_IN) as usize).copied().unwrap_or(SHORT);
        let what = format!("{}: longest, one in {ONE_IN} left out", self.what);
        report.add_limited(what, milliseconds(longest), "ms", milliseconds(LIMIT));
    }

    /// Reports the mean and the longest of what may take as long as it likes.
    pub fn report_times(&self, report: &mut Report) {
        let (what, mean) = (self.what, self.total.as_secs_f64() * 1e6 / self.count as f64);
        report.add(format!("{what}: mean of {}", self.count), mean, "us");
        report.add(format!("{what}: longest"), milliseconds(self.longest), "ms");
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
