//! Figures of the gateway alone: its start, whether its heartbeat keeps the interval, and its size.

use crate::gateway::{self, Gateway};
use crate::load::{self, number};
use crate::plan::Plan;
use crate::programs::Programs;
use crate::report::{Bound, Report, Row};
use crate::servers::{Kind, Protocol, Server};
use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// The interval of `gateway::PINGS`.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// Measures the time from the start of the process to READY=1.
pub fn starts(plan: &Plan, report: &mut Report) {
    eprintln!("{} starts", plan.starts);
    let times = (0..plan.starts).map(|_| Gateway::start_unpinned(gateway::NO_PINGS).start_time.as_secs_f64() * 1e3);
    report.add(Row::of_gateway("start", "until READY=1", "ms", times.collect()));
}

/// Checks that all clients are pinged at their interval, and measures what that takes.
///
/// # Errors
/// The load generator's.
pub fn heartbeat(plan: &Plan, programs: &Programs, report: &mut Report) -> Result<(), String> {
    let workload = format!("heartbeat of {} connections, every {PING_INTERVAL:?}", plan.held);
    eprintln!("{workload}");
    let server = Server::start(Kind::Gateway, programs, Protocol::Rpc, true)?;
    let options = format!("--connections {} --seconds {}", plan.held, plan.ping_time.as_secs_f64());
    let result = load::run(programs, &server, "hold", &options)?;
    let status = server.status().ok_or("the daemon runs")?;
    let pings = number(&result, "/pings")?;
    let expected = plan.held as f64 * number(&result, "/seconds")? / PING_INTERVAL.as_secs_f64();
    let deviation = (pings - expected).abs() / expected * 100.0;
    let lost = number(&status, "/heartbeat/timeouts")? + number(&result, "/lost")?;
    let row = |figure: &str, unit, value| Row::of_gateway(&workload, figure, unit, vec![value]);
    report.add(row("deviation from the expected number of pings", "%", deviation).bound(Bound::AtMost(5.0)));
    report.add(row("connections lost", "", lost).bound(Bound::AtMost(0.0)));
    let round_trip = |quantile| number(&status, &format!("/heartbeat/round_trip_{quantile}_microseconds"));
    report.add(row("round trip, p50", "µs", round_trip("p50")?));
    report.add(row("round trip, p99", "µs", round_trip("p99")?));
    report.add(row("CPU", "% of a core", number(&result, "/server_cpu_percent")?));
    Ok(())
}

/// Measures the size of the program and of its dependencies.
pub fn sizes(report: &mut Report) {
    let mut add = |figure: &str, unit, value| report.add(Row::of_gateway("sizes", figure, unit, vec![value]));
    match stripped_bytes() {
        Some(bytes) => add("program, stripped", "bytes", bytes as f64),
        None => eprintln!("strip isn't installed: the program's stripped size is skipped"),
    }
    add("crates it depends on", "", dependencies() as f64);
}

fn stripped_bytes() -> Option<u64> {
    let dir = tempfile::tempdir().ok()?;
    let copy = dir.path().join("stripped");
    fs::copy(Gateway::binary(), &copy).ok()?;
    let status = Command::new("strip").arg(&copy).status().ok()?;
    status.success().then(|| fs::metadata(&copy).map(|metadata| metadata.len()).ok())?
}

/// Crates in the tree of normal dependencies, without the gateway itself.
fn dependencies() -> usize {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let arguments = ["tree", "--offline", "-e", "normal", "--prefix", "none", "--manifest-path", manifest];
    let output = Command::new(cargo).args(arguments).output().expect("cargo starts");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    // A name and a version; the rest of a line differs where a crate is repeated.
    let crates: HashSet<Vec<&str>> =
        text.lines().map(|line| line.split(' ').take(2).collect()).filter(|words: &Vec<_>| words.len() == 2).collect();
    crates.len() - 1
}
