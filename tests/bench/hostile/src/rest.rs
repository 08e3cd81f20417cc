//! The gateway at rest: only healthy clients are connected, and everything that others left behind is gone.

use crate::gateway::Gateway;
use crate::healthy::Healthy;
use crate::{failure_of, measure, status};
use load::failure::Failure;
use serde_json::Value;
use std::fmt;
use std::time::{Duration, Instant};
use test_support::proc;

/// How long the gateway may take to forget the attackers: longer than each of its timeouts.
const DEADLINE: Duration = Duration::from_secs(90);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// Memory is at rest when it hasn't shrunk for this long: the allocator gives back what has been unused for ten
/// seconds.
const STEADY: Duration = Duration::from_secs(12);
/// And the longest wait for that.
const MAX_SHRINKING: Duration = Duration::from_secs(40);

/// Gauges of `/status`, and their values at rest: the connection of the request itself holds `handshake.max_header_bytes`.
/// Those that the gateway doesn't have are left out.
const AT_REST: [(&str, u64); 4] = [
    ("/handshakes/in_progress", 0),
    ("/calls/in_flight", 0),
    ("/outbox/bytes_queued", 0),
    ("/memory/held_bytes", 16 * 1024),
];

/// The gauge of all clients.
const CLIENTS: &str = "/clients/total_connections";

/// What was found.
#[derive(Clone, Default)]
pub struct Rest {
    /// Resident memory in bytes.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// What wasn't as it should be at the deadline.
    pub unbalanced: Vec<String>,
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB resident, {} descriptors", self.resident / 1024, self.descriptors)
    }
}

/// Waits until the gateway is at rest while the healthy clients go on, or until the deadline.
pub fn wait(
    gateway: &Gateway,
    healthy: &mut Healthy,
    clients: u64,
    descriptors: Option<usize>,
) -> Result<Rest, Failure> {
    let deadline = Instant::now() + DEADLINE;
    let unbalanced = loop {
        healthy.run(measure::QUIET, PAUSE)?;
        let unbalanced = unbalanced(gateway, clients, descriptors)?;
        if unbalanced.is_empty() || Instant::now() > deadline {
            break unbalanced;
        }
    };
    let resident = steady_memory(gateway, healthy)?;
    healthy.samples(measure::QUIET).take();
    Ok(Rest { resident, descriptors: open_descriptors(gateway)?, unbalanced })
}

/// What isn't as it should be.
fn unbalanced(gateway: &Gateway, clients: u64, descriptors: Option<usize>) -> Result<Vec<String>, Failure> {
    let report = status::read(gateway.addresses.ops, DEADLINE).map_err(failure_of("/status"))?;
    let mut found = unbalanced_gauges(&report, clients);
    let open = open_descriptors(gateway)?;
    if let Some(expected) = descriptors.filter(|expected| *expected != open) {
        found.push(format!("{open} descriptors are open instead of {expected}"));
    }
    Ok(found)
}

fn unbalanced_gauges(report: &Value, clients: u64) -> Vec<String> {
    let expected = AT_REST.into_iter().chain([(CLIENTS, clients)]);
    let differing = expected.filter_map(|(pointer, expected)| {
        let value = report.pointer(pointer)?.as_u64()?;
        (value != expected).then(|| format!("{pointer} is {value} instead of {expected}"))
    });
    differing.collect()
}

/// Resident memory once it doesn't shrink any more.
fn steady_memory(gateway: &Gateway, healthy: &mut Healthy) -> Result<u64, Failure> {
    let start = Instant::now();
    let (mut least, mut since) = (u64::MAX, start);
    while since.elapsed() < STEADY && start.elapsed() < MAX_SHRINKING {
        healthy.run(measure::QUIET, PAUSE)?;
        let resident = proc::resident_bytes(gateway.pid()).map_err(failure_of("memory"))?;
        if resident < least {
            (least, since) = (resident, Instant::now());
        }
    }
    Ok(least)
}

fn open_descriptors(gateway: &Gateway) -> Result<usize, Failure> {
    proc::open_descriptors(gateway.pid()).map_err(failure_of("descriptors"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn gauges_that_differ_are_named() {
        let report = json!({
            "clients": { "total_connections": 7 }, "handshakes": { "in_progress": 0 }, "calls": { "in_flight": 2 },
            "outbox": { "bytes_queued": 0 },
        });
        let calls = "/calls/in_flight is 2 instead of 0";
        assert_eq!(unbalanced_gauges(&report, 7), [calls]);
        let clients = "/clients/total_connections is 7 instead of 8";
        assert_eq!(unbalanced_gauges(&report, 8), [calls, clients]);
    }
}
