//! Latencies of many clients, their quantiles, and those of the client that fared worst.

use std::time::Duration;

/// Latencies with the client that each belongs to.
#[derive(Default)]
pub struct Samples(Vec<(u32, u32)>);

/// Quantiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// Number of latencies.
    pub count: usize,
    /// Median of all.
    pub p50: f64,
    /// 99th percentile of all.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// The highest of the clients' own 99th percentiles.
    pub worst_p99: f64,
    /// The fewest latencies of a client.
    pub fewest: usize,
}

impl Samples {
    /// Adds a latency of this client.
    pub fn record(&mut self, client: usize, latency: Duration) {
        self.0.push((client as u32, latency.as_micros().try_into().unwrap_or(u32::MAX)));
    }

    /// Leaves none behind.
    pub fn take(&mut self) -> Samples {
        std::mem::take(self)
    }

    /// Sorts the latencies, and returns their quantiles: zeros without any.
    pub fn quantiles(&mut self) -> Quantiles {
        self.0.sort_unstable();
        let by_client = self.0.chunk_by(|(one, _), (next, _)| one == next);
        let (mut worst_p99, mut fewest) = (0.0_f64, usize::MAX);
        for latencies in by_client {
            worst_p99 = worst_p99.max(rank(latencies.iter().map(|(_, latency)| *latency), latencies.len(), 0.99));
            fewest = fewest.min(latencies.len());
        }
        let mut all: Vec<u32> = self.0.iter().map(|(_, latency)| *latency).collect();
        all.sort_unstable();
        let quantile = |share| rank(all.iter().copied(), all.len(), share);
        let fewest = if all.is_empty() { 0 } else { fewest };
        let (p50, p99, max) = (quantile(0.5), quantile(0.99), quantile(1.0));
        Quantiles { count: all.len(), p50, p99, max, worst_p99, fewest }
    }
}

/// The latency at this share of sorted ones, in milliseconds.
fn rank(mut sorted: impl Iterator<Item = u32>, count: usize, share: f64) -> f64 {
    let index = ((share * count as f64).ceil() as usize).saturating_sub(1);
    sorted.nth(index).map_or(0.0, |microseconds| f64::from(microseconds) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_and_of_the_worst_client() {
        let mut samples = Samples::default();
        for latency in (1..=100).rev() {
            samples.record(0, Duration::from_millis(latency));
            samples.record(1, Duration::from_millis(1));
        }
        let expected = Quantiles { count: 200, p50: 1.0, p99: 98.0, max: 100.0, worst_p99: 99.0, fewest: 100 };
        assert_eq!(samples.quantiles(), expected);
        assert_eq!(Samples::default().quantiles(), Quantiles::default());
    }
}
