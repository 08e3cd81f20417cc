//! Latencies of a run, and their quantiles.

use serde_json::{Value, json};
use std::time::Duration;

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// All latencies, in nanoseconds.
#[derive(Default)]
pub struct Latencies(Vec<u64>);

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        self.0.push(latency.as_nanos() as u64);
    }

    /// The quantiles in microseconds; null without latencies.
    pub fn into_json(mut self) -> Value {
        let Some(last) = self.0.len().checked_sub(1) else { return Value::Null };
        self.0.sort_unstable();
        let rank = |share: f64| ((share * self.0.len() as f64).ceil() as usize).saturating_sub(1).min(last);
        QUANTILES.iter().map(|(name, share)| (*name, json!(self.0[rank(*share)] as f64 / 1e3))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_latencies() {
        let mut latencies = Latencies::default();
        (1..=1000).rev().for_each(|microseconds| latencies.record(Duration::from_micros(microseconds)));
        let expected = json!({ "p50": 500.0, "p90": 900.0, "p99": 990.0, "p99.9": 999.0, "max": 1000.0 });
        assert_eq!(latencies.into_json(), expected);
        assert_eq!(Latencies::default().into_json(), Value::Null);
    }
}
