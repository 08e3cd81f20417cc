//! Latencies, counted in buckets that are at most 1/64 wide of what they hold. Recording never allocates.

use crate::json::Json;
use std::time::Duration;

/// Buckets for each power of two, as a power of two.
const FINENESS: u32 = 6;
const PER_OCTAVE: usize = 1 << FINENESS;
const BUCKETS: usize = (64 - FINENESS as usize + 1) * PER_OCTAVE;

/// Durations by nanoseconds.
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

    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        let nanoseconds = duration.as_nanos() as u64;
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.max = self.max.max(nanoseconds);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration in nanoseconds that this share of all doesn't exceed, rounded up to its bucket's end.
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

    /// `p50`, `p90`, `p99`, `p99.9` and `max` in microseconds; null without any.
    pub fn to_json(&self) -> Json {
        if self.total == 0 {
            return Json::Null;
        }
        let mut json = Json::object();
        for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
            json.add(name, self.quantile(share) as f64 / 1e3);
        }
        json.add("max", self.max as f64 / 1e3);
        json
    }
}

fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < PER_OCTAVE as u64 {
        return nanoseconds as usize;
    }
    let shift = nanoseconds.ilog2() - FINENESS;
    // The leading bit makes the shifted value at least PER_OCTAVE.
    (shift as usize) * PER_OCTAVE + (nanoseconds >> shift) as usize
}

/// The highest value in a bucket.
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
    fn a_bucket_holds_what_it_says() {
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
    fn quantiles_of_a_thousand() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.to_json(), Json::Null);
        (1..=1000).for_each(|microseconds| histogram.record(Duration::from_micros(microseconds)));
        for (share, expected) in [(0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999)] {
            let expected = expected * 1000;
            let got = histogram.quantile(share);
            assert!((expected..=expected + expected / 64).contains(&got), "{share}: {got}");
        }
        assert_eq!(histogram.quantile(1.0), 1_000_000);
    }
}
