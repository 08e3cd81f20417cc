//! How long something takes, at the longest; and how much of that is its own doing.

use crate::process::cpu_of_this_thread;
use crate::report::Report;
use std::time::{Duration, Instant};

/// The longest that anybody is to wait for the gateway's own doing.
const LIMIT: Duration = Duration::from_millis(2);

/// Of the times of something that waits for another thread, this one may be longer: how soon a thread runs again that was
/// woken is the machine's doing.
const ONE_IN: u64 = 10_000;

/// What is shorter is not looked at more closely.
const SHORT: Duration = Duration::from_micros(100);

/// Times of one thing that is done again and again by one thread.
pub struct Pauses {
    what: &'static str,
    /// It may wait for what another thread does.
    waits: bool,
    count: u64,
    total: Duration,
    longest: Duration,
    /// All that were not [`SHORT`].
    long: Vec<Time>,
}

/// How long it took once.
struct Time {
    passed: Duration,
    /// The part in which the thread had a processor. The rest is the machine's doing, on which others run too, and which may
    /// itself be one of several on a larger one.
    worked: Duration,
}

/// The moment before something.
pub struct Before {
    cpu: Duration,
    began: Instant,
}

impl Pauses {
    /// None yet, of something that waits for nobody.
    pub fn new(what: &'static str) -> Self {
        let (count, total, longest, long) = Default::default();
        Pauses { what, waits: false, count, total, longest, long }
    }

    /// None yet, of something that may have to wait for what another thread does.
    pub fn behind_another(what: &'static str) -> Self {
        Pauses { waits: true, ..Pauses::new(what) }
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
        Before { cpu: cpu_of_this_thread(), began: Instant::now() }
    }

    /// Counts what was done since.
    pub fn add(&mut self, before: &Before) {
        let passed = before.began.elapsed();
        self.count += 1;
        self.total += passed;
        self.longest = self.longest.max(passed);
        if passed > SHORT {
            self.long.push(Time { passed, worked: cpu_of_this_thread() - before.cpu });
        }
    }

    /// Reports the mean and the longest, which is to stay within the limit.
    pub fn report(&self, report: &mut Report) {
        self.report_times(report);
        let (which, longest) = match self.waits {
            true => (format!("longest, one in {ONE_IN} left out"), self.longest_but((self.count / ONE_IN) as usize)),
            false => ("longest, in processor time".to_owned(), self.longest_worked()),
        };
        report.add_limited(format!("{}: {which}", self.what), milliseconds(longest), "ms", milliseconds(LIMIT));
    }

    /// Reports the mean and the longest of what may take as long as it likes.
    pub fn report_times(&self, report: &mut Report) {
        let (what, mean) = (self.what, self.total.as_secs_f64() * 1e6 / self.count as f64);
        report.add(format!("{what}: mean of {}", self.count), mean, "us");
        report.add(format!("{what}: longest"), milliseconds(self.longest), "ms");
    }

    fn longest_but(&self, left_out: usize) -> Duration {
        let mut longest_first: Vec<Duration> = self.long.iter().map(|time| time.passed).collect();
        longest_first.sort_by(|one, other| other.cmp(one));
        longest_first.get(left_out).copied().unwrap_or(SHORT)
    }

    fn longest_worked(&self) -> Duration {
        self.long.iter().map(|time| time.worked).max().unwrap_or(SHORT)
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
