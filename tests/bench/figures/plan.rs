//! How much is measured: the full run and the quick one.

use std::time::Duration;

/// Descriptors that aren't available for connections.
const OTHER_DESCRIPTORS: usize = 1000;

pub struct Plan {
    pub quick: bool,
    /// Starts of the gateway, for a median.
    pub starts: usize,
    /// Rounds of timed workloads. Memory varies little, and is measured once.
    pub rounds: usize,
    /// Rounds of echo, broadcast and handshakes, whose bounds are relative to the floor. A message's cost differs by up
    /// to a third between two processes of one program, depending on their memory layout; each round starts new ones.
    pub floor_rounds: usize,
    /// Length of a timed measurement in seconds.
    pub seconds: f64,
    /// Length of the unmeasured part before it in seconds.
    pub warmup: f64,
    /// Connections that are held for memory and pings.
    pub held: usize,
    /// Connections that are opened at once.
    pub at_once: usize,
    /// Clients that receive a broadcast.
    pub receivers: usize,
    /// Broadcasts in a round.
    pub broadcasts: usize,
    /// Events that are published at once, and the number of their subscribers.
    pub event_burst: usize,
    /// How long pings are counted.
    pub ping_time: Duration,
}

impl Plan {
    /// The plan for a process with this descriptor limit.
    pub fn new(quick: bool, descriptors: u64) -> Self {
        let plan = if quick { Self::quick() } else { Self::full() };
        let limit = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(OTHER_DESCRIPTORS).max(1);
        Plan {
            held: plan.held.min(limit),
            at_once: plan.at_once.min(limit),
            receivers: plan.receivers.min(limit),
            event_burst: plan.event_burst.min(limit),
            ..plan
        }
    }

    fn full() -> Self {
        Plan {
            quick: false,
            starts: 20,
            rounds: 3,
            floor_rounds: 5,
            seconds: 2.5,
            warmup: 0.5,
            held: 19_000,
            at_once: 15_000,
            receivers: 10_000,
            broadcasts: 20,
            event_burst: 1000,
            ping_time: Duration::from_secs(12),
        }
    }

    /// Enough connections that one-time memory hardly matters, and enough rounds for a median.
    fn quick() -> Self {
        Plan {
            quick: true,
            starts: 10,
            rounds: 3,
            floor_rounds: 7,
            seconds: 0.6,
            warmup: 0.2,
            held: 10_000,
            at_once: 10_000,
            receivers: 4000,
            broadcasts: 12,
            event_burst: 300,
            ping_time: Duration::from_secs(6),
        }
    }
}
