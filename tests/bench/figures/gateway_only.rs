//! What is measured of the gateway alone: starting, sizes, and whether everybody is pinged.

use crate::gateway::{self, Gateway};
use crate::load;
use crate::plan::Plan;
use crate::programs::Programs;
use crate::report::{Must, Report, Row, median};
use aisopod_gateway::{GatewayClient, Session};
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

const PING_INTERVAL: Duration = Duration::from_secs(3);

/// From the start of the process until it says that it is ready, and its memory then.
pub fn starts(plan: &Plan, report: &mut Report) {
    eprintln!("starting {} times", plan.starts);
    let work = "start";
    let times: Vec<f64> =
        (0..plan.starts).map(|_| Gateway::start_anywhere(gateway::NO_PINGS).start_time.as_secs_f64() * 1e3).collect();
    let mut row = Row::once(work, "until READY=1", median(&times).expect("a start"), "ms");
    row.samples = times;
    report.add(row);
    let resident = Gateway::start(gateway::NO_PINGS).process().settled_resident_bytes();
    report.add(Row::once(work, "resident without connections", resident, "bytes"));
}

/// Whether everybody is pinged every few seconds, and answers, and what it takes.
///
/// # Errors
/// The load generator's.
pub fn pings(plan: &Plan, programs: &Programs, report: &mut Report) -> Result<(), String> {
    let (count, seconds) = (plan.many, plan.pinging.as_secs_f64());
    let work = format!("{count} connections, pinged every {PING_INTERVAL:?}");
    eprintln!("{work}");
    let gateway = Gateway::start(gateway::PINGS);
    let options = ["--connections".to_owned(), count.to_string(), "--seconds".to_owned(), seconds.to_string()];
    let answer = load::run(programs, "ping", &options, gateway.addr(), gateway.process())?;
    let status = gateway.status();
    drop(gateway);
    let pings = number(&answer, "/pings");
    let expected = count as f64 * number(&answer, "/seconds") / PING_INTERVAL.as_secs_f64();
    let once = |figure: &str, value, unit| Row::once(&work, figure, value, unit);
    report.add(once("pings", pings, ""));
    report.add(once("off what is expected", off(pings, expected), "%").must(Must::AtMost(5.0)));
    let unanswered = number(&status, "/heartbeat/timeouts") + number(&answer, "/lost");
    report.add(once("connections ended meanwhile", unanswered, "").must(Must::AtMost(0.0)));
    report.add(once("round trip, p50", number(&status, "/heartbeat/round_trip_p50_microseconds"), "µs"));
    report.add(once("round trip, p99", number(&status, "/heartbeat/round_trip_p99_microseconds"), "µs"));
    report.add(once("CPU meanwhile", number(&answer, "/cpu_percent_of_a_core"), "% of a core"));
    Ok(())
}

/// By how many percent a number differs from another.
fn off(number: f64, expected: f64) -> f64 {
    (number - expected).abs() / expected * 100.0
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// Sizes of the program, of its dependencies, and of what there is one of for each connection.
pub fn sizes(report: &mut Report) {
    let mut add = |figure: &str, value: usize, unit| report.add(Row::once("sizes", figure, value as f64, unit));
    match stripped_bytes() {
        Some(bytes) => add("the program, stripped", bytes as usize, "bytes"),
        None => eprintln!("no strip here: the program's stripped size is left out"),
    }
    add("crates it depends on", dependencies(), "");
    add("the future of a session", size_of::<Session>(), "bytes");
    add("GatewayClient", size_of::<GatewayClient>(), "bytes");
}

fn stripped_bytes() -> Option<u64> {
    let dir = tempfile::tempdir().ok()?;
    let copy = dir.path().join("stripped");
    fs::copy(Gateway::binary(), &copy).ok()?;
    let stripped = Command::new("strip").arg(&copy).status().ok()?;
    stripped.success().then(|| fs::metadata(&copy).map(|metadata| metadata.len()).ok())?
}

/// Crates in the tree of normal dependencies, itself not counted.
fn dependencies() -> usize {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let arguments = ["tree", "--offline", "-e", "normal", "--prefix", "none", "--manifest-path", manifest];
    let output = Command::new(cargo).args(arguments).output().expect("cargo tree");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    // A name and a version; behind them is what differs from line to line.
    let crates: HashSet<Vec<&str>> =
        text.lines().map(|line| line.split(' ').take(2).collect()).filter(|words: &Vec<_>| words.len() == 2).collect();
    crates.len() - 1
}
