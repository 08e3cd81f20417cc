//! How much is measured.

use crate::servers::Kind;
use std::time::Duration;

/// Descriptors that are not for connections, with room to spare.
const RESERVED: usize = 1000;

/// How many descriptors a process here may have open.
pub fn descriptors() -> usize {
    aisopod_gateway::descriptor_limit()
}

/// How many connections at once a process here may have.
fn most_connections() -> usize {
    descriptors().saturating_sub(RESERVED).max(1)
}

/// One of two plans: everything, or as much as two minutes allow.
pub struct Plan {
    /// Whether it is the short one.
    pub quick: bool,
    /// Who is compared.
    pub servers: Vec<Kind>,
    /// Starts, for the median.
    pub starts: usize,
    /// Rounds of what is measured over a time; memory is the same each time, and measured once.
    pub rounds: usize,
    /// Each of these times, in seconds.
    pub span: f64,
    /// Before that the same is done unmeasured, in seconds.
    pub warmup: f64,
    /// Connections for memory.
    pub many: usize,
    /// The same for servers that are interpreted.
    pub many_for_scripts: usize,
    /// Connections that are opened at once.
    pub storm: usize,
    /// Clients that are sent a large message.
    pub large: usize,
    /// Clients that a broadcast goes to.
    pub fan: usize,
    /// Broadcasts in one round.
    pub broadcasts: usize,
    /// Events that are published at once, and those who are subscribed to them.
    pub events: usize,
    /// Over how long pings are counted.
    pub pinging: Duration,
    /// Connections at which growth is looked at.
    pub growth: Vec<usize>,
}

impl Plan {
    /// The plan for this machine's limits.
    pub fn new(quick: bool) -> Self {
        let all = if quick { Self::short() } else { Self::full() };
        let most = most_connections();
        let mut growth: Vec<usize> = all.growth.into_iter().map(|count| count.min(most)).collect();
        growth.dedup();
        Plan {
            servers: all.servers.into_iter().filter(|kind| kind.is_installed()).collect(),
            many: all.many.min(most),
            many_for_scripts: all.many_for_scripts.min(most),
            storm: all.storm.min(most),
            large: all.large.min(most),
            fan: all.fan.min(most),
            events: all.events.min(most),
            growth,
            ..all
        }
    }

    fn full() -> Self {
        Plan {
            quick: false,
            servers: Kind::ALL.to_vec(),
            starts: 20,
            rounds: 3,
            span: 2.5,
            warmup: 0.5,
            many: 19_000,
            many_for_scripts: 5000,
            storm: 15_000,
            large: 5000,
            fan: 10_000,
            broadcasts: 12,
            events: 1000,
            pinging: Duration::from_secs(12),
            growth: vec![1000, 5000, 19_000],
        }
    }

    fn short() -> Self {
        Plan {
            quick: true,
            servers: vec![Kind::Gateway, Kind::Predecessor, Kind::Fast, Kind::Floor],
            starts: 10,
            rounds: 1,
            span: 1.0,
            warmup: 0.3,
            many: 5000,
            many_for_scripts: 1000,
            storm: 5000,
            large: 1000,
            fan: 5000,
            broadcasts: 6,
            events: 300,
            pinging: Duration::from_secs(6),
            growth: vec![1000, 5000],
        }
    }
}
