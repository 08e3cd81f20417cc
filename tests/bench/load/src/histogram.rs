//! A histogram of latencies whose buckets are at most 1/64 of their values wide. Recording never allocates.

use serde_json::{Value, json};
use std::time::Duration;

/// Binary logarithm of the number of buckets for each power of two.
const RESOLUTION: u32 = 6;
const PER_OCTAVE: usize = 1 << RESOLUTION;
const BUCKETS: usize = (64 - RESOLUTION as usize + 1) * PER_OCTAVE;

/// Counts of durations, by nanoseconds.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }

    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let nanoseconds = duration.as_nanos() as u64;
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// The quantile in nanoseconds, rounded up to the end of its bucket.
    fn quantile(&self, share: f64) -> u64 {
        let wanted = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return highest(index).min(self.max);
            }
        }
        self.max
    }

    /// `p50`, `p90`, `p99`, `p99.9` and `max` in microseconds; null if the histogram is empty.
    pub fn to_json(&self) -> Value {
        if self.total == 0 {
            return Value::Null;
        }
        let microseconds = |share| self.quantile(share) as f64 / 1e3;
        json!({
            "p50": microseconds(0.5), "p90": microseconds(0.9), "p99": microseconds(0.99), "p99.9": microseconds(0.999),
            "max": self.max as f64 / 1e3,
        })
    }
}

fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < PER_OCTAVE as u64 {
        return nanoseconds as usize;
    }
    let shift = nanoseconds.ilog2() - RESOLUTION;
    // The leading bit makes the shifted value at least PER_OCTAVE.
    (shift as usize) * PER_OCTAVE + (nanoseconds >> shift) as usize
}

/// The highest value of a bucket.
fn highest(bucket: usize) -> u64 {
    if bucket < PER_OCTAVE {
        return bucket as u64;
    }
    let shift = bucket / PER_OCTAVE - 1;
    let value = (bucket % PER_OCTAVE + PER_OCTAVE) as u128;
    (((value + 1) << shift) - 1).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        let mut last = None;
        for value in (0..100_000).chain((6..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1])) {
            let index = bucket(value);
            assert!(index < BUCKETS && highest(index) >= value, "{value}");
            assert!(highest(index) - value <= value / 64, "{value} is rounded to {}", highest(index));
            assert!(index == 0 || highest(index - 1) < value, "{value}");
            last = last.max(Some(index));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(highest(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn quantiles_are_rounded_up_by_one_bucket_at_most() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.to_json(), Value::Null);
        (1..=1000).for_each(|microseconds| histogram.record(Duration::from_micros(microseconds)));
        for (share, expected) in [(0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999)] {
            let expected = expected * 1000;
            let got = histogram.quantile(share);
            assert!((expected..=expected + expected / 64).contains(&got), "{share}: {got}");
        }
        assert_eq!(histogram.quantile(1.0), 1_000_000);
    }
}
