//! Metrics: counters, gauges and a histogram that many tasks update without a lock, and that `/status` reads.
//!
//! Independent of what is counted. All atomics are relaxed, so values that are read together may be inconsistent.

use crate::labels::Label;
use serde::{Serialize, Serializer};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    pub const fn new() -> Self {
        Counter(AtomicU64::new(0))
    }

    /// Adds `n`. Adding 0 doesn't touch the atomic.
    pub fn add(&self, n: u64) {
        if n > 0 {
            self.0.fetch_add(n, Relaxed);
        }
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Serialize for Counter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

/// The highest observed value.
#[derive(Debug, Default)]
pub struct MaxGauge(AtomicU64);

impl MaxGauge {
    /// Raises the maximum to `value` if that is higher.
    pub fn observe(&self, value: u64) {
        if value > self.get() {
            self.0.fetch_max(value, Relaxed);
        }
    }

    /// The maximum; 0 if nothing was observed.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A value that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds `n`. Returns the new value.
    pub fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Relaxed) + n
    }

    /// Subtracts `n`, which must have been added earlier.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Serialize for Gauge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

/// One counter for each variant of `E`; a JSON object in `/status`.
#[derive(Debug)]
pub struct CounterVec<E> {
    /// Indexed by [`Label::index`].
    counts: Box<[Counter]>,
    labels: PhantomData<fn(E)>,
}

impl<E: Label> Default for CounterVec<E> {
    fn default() -> Self {
        CounterVec { counts: E::ALL.iter().map(|_| Counter::default()).collect(), labels: PhantomData }
    }
}

impl<E: Label> CounterVec<E> {
    /// Increments the counter of `event`.
    pub fn add(&self, event: E) {
        self.counts[event.index()].add(1);
    }
}

impl<E: Label> Serialize for CounterVec<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(E::ALL.iter().map(|variant| variant.label()).zip(&self.counts))
    }
}

/// Buckets for each power of two.
const SUB_BUCKETS: usize = 8;
/// One bucket for each value below [`SUB_BUCKETS`], then [`SUB_BUCKETS`] for each power of two below 2^40.
const BUCKETS: usize = SUB_BUCKETS * 38;

/// A histogram of the current and the previous window, so that quantiles describe recent values.
///
/// Buckets are log-linear: a quantile is at most 12.5 % above the true value.
#[derive(Debug)]
pub struct WindowedHistogram {
    current: Box<[AtomicU64]>,
    previous: Box<[AtomicU64]>,
}

impl Default for WindowedHistogram {
    fn default() -> Self {
        let zeros = || (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        WindowedHistogram { current: zeros(), previous: zeros() }
    }
}

impl WindowedHistogram {
    /// Records a value. Values of 2^40 and above share the last bucket.
    pub fn record(&self, value: u64) {
        self.current[bucket(value)].fetch_add(1, Relaxed);
    }

    /// Starts a new window: the current one becomes the previous one, and the previous one is dropped.
    pub fn rotate(&self) {
        for (current, previous) in self.current.iter().zip(&self.previous) {
            previous.store(current.swap(0, Relaxed), Relaxed);
        }
    }

    /// An upper bound of the quantile `q` (0 to 1) of the values in both windows; `None` if there are none.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let counts: Vec<u64> =
            self.current.iter().zip(&self.previous).map(|(a, b)| a.load(Relaxed) + b.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let rank = (total as f64 * q).ceil().max(1.0) as u64;
        let mut seen = 0;
        counts
            .iter()
            .position(|count| {
                seen += count;
                seen >= rank
            })
            .map(upper_bound)
    }
}

/// The index of the bucket for `value`.
fn bucket(value: u64) -> usize {
    if value < SUB_BUCKETS as u64 {
        return value as usize;
    }
    let exponent = value.ilog2();
    let sub = (value >> (exponent - 3)) as usize & (SUB_BUCKETS - 1);
    ((exponent as usize - 2) * SUB_BUCKETS + sub).min(BUCKETS - 1)
}

/// The highest value in the bucket with this index.
fn upper_bound(bucket: usize) -> u64 {
    if bucket < SUB_BUCKETS {
        return bucket as u64;
    }
    let shift = bucket / SUB_BUCKETS - 1;
    (((SUB_BUCKETS + bucket % SUB_BUCKETS + 1) as u64) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClosedBy;

    #[test]
    fn bucket_bound_is_at_most_an_eighth_above_the_value() {
        for value in (0..5_000).chain([123_456, 9_999_999, 1 << 39]) {
            let bound = upper_bound(bucket(value));
            assert!(bound >= value, "{value} is above {bound}");
            assert!(bound as f64 <= value as f64 * 1.125, "{bound} is too far above {value}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_cover_the_last_two_windows() {
        let histogram = WindowedHistogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for value in 1..=100 {
            histogram.record(value);
        }
        assert!((50..=56).contains(&histogram.quantile(0.5).unwrap()));
        assert!((99..=111).contains(&histogram.quantile(0.99).unwrap()));
        histogram.rotate();
        assert!(histogram.quantile(0.5).is_some());
        histogram.rotate();
        assert_eq!(histogram.quantile(0.5), None);
    }

    #[test]
    fn counter_vec_serializes_every_variant() {
        let ends = CounterVec::<ClosedBy>::default();
        ends.add(ClosedBy::Gateway);
        assert_eq!(serde_json::to_string(&ends).unwrap(), r#"{"client":0,"gateway":1,"network":0}"#);
    }

    #[test]
    fn gauge_falls_and_max_gauge_does_not() {
        let gauge = Gauge::default();
        assert_eq!(gauge.add(3), 3);
        gauge.sub(2);
        assert_eq!(gauge.get(), 1);
        let max = MaxGauge::default();
        max.observe(2);
        max.observe(1);
        assert_eq!(max.get(), 2);
    }
}
