//! What is measured of the gateway alone: starting, memory, pings, sizes.

use crate::crowd::Crowd;
use crate::gateway::{Gateway, NO_PINGS};
use crate::report::Report;
use crate::{Plan, floor};
use aisopod_gateway::{GatewayClient, Session};
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The most that an idle connection may take of resident memory.
const IDLE_BYTES: f64 = 4096.0;

const PING_INTERVAL: Duration = Duration::from_secs(3);
const PINGS: &str = "interval = \"3s\"\ntimeout = \"3s\"";

/// From the start of the process until it says that it is ready.
pub fn starts(plan: &Plan, report: &mut Report) {
    let mut times: Vec<Duration> = (0..plan.starts).map(|_| Gateway::start(NO_PINGS).start_time).collect();
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    report.add(format!("start until READY=1, median of {}", plan.starts), milliseconds(times[times.len() / 2]), "ms");
    report.add(format!("start until READY=1, longest of {}", plan.starts), milliseconds(times[times.len() - 1]), "ms");
}

/// Resident memory with so many connections that say nothing, after they have gone, and when as many have come back:
/// what is kept is used again.
pub fn memory(count: usize, report: &mut Report) {
    let gateway = Gateway::start(NO_PINGS);
    let before = gateway.process().settled_resident_bytes();
    let crowd = Crowd::connect(gateway.addr(), count);
    gateway.wait_for_clients(count);
    let during = gateway.process().settled_resident_bytes();
    drop(crowd);
    gateway.wait_for_clients(0);
    let after = gateway.process().settled_resident_bytes();
    let _crowd = Crowd::connect(gateway.addr(), count);
    gateway.wait_for_clients(count);
    let again = gateway.process().settled_resident_bytes();
    let each = |resident: f64| (resident - before) / count as f64;
    report.add(format!("resident before {count} connections"), before, "bytes");
    report.add_limited(format!("resident for each of {count} idle connections"), each(during), "bytes", IDLE_BYTES);
    report.add(format!("kept for each of {count}, all gone"), each(after), "bytes");
    report.add_limited(format!("resident for each of {count}, all back again"), each(again), "bytes", IDLE_BYTES);
}

/// CPU for pinging all connections every few seconds, beside that for bare `send` calls.
pub fn pings(plan: &Plan, report: &mut Report) {
    let count = plan.many;
    let gateway = Gateway::start(PINGS);
    let before = gateway.process().settled_resident_bytes();
    let crowd = Crowd::connect(gateway.addr(), count);
    gateway.wait_for_clients(count);
    // Everybody has been pinged once.
    thread::sleep(PING_INTERVAL + Duration::from_millis(500));
    let resident = (gateway.process().settled_resident_bytes() - before) / count as f64;
    report.add_limited(format!("resident for each of {count} pinged connections"), resident, "bytes", IDLE_BYTES);
    let turn = take_turn(&gateway, plan.pinging);
    let ended = crowd.ended() as f64 + closed(&turn.last);
    drop(crowd);
    drop(gateway);
    report_turn(&turn, count, ended, report);
    let each = turn.cpu_seconds / turn.pings * 1e6;
    let floor = floor::send_microseconds(count, turn.pings as usize);
    report.add("CPU for each bare send call of as many bytes", floor, "us");
    report.add("ping and pong, in bare send calls", each / floor, "ratio");
}

/// What happened while pings were counted.
struct Turn {
    seconds: f64,
    cpu_seconds: f64,
    pings: f64,
    pongs: f64,
    /// `/status` at its end.
    last: Value,
}

fn take_turn(gateway: &Gateway, time: Duration) -> Turn {
    let (first, cpu, began) = (gateway.status(), gateway.process().cpu_seconds(), Instant::now());
    thread::sleep(time);
    let (seconds, cpu_seconds) = (began.elapsed().as_secs_f64(), gateway.process().cpu_seconds() - cpu);
    let last = gateway.status();
    let grown = |name: &str| number(&last["heartbeat"][name]) - number(&first["heartbeat"][name]);
    Turn { seconds, cpu_seconds, pings: grown("pings_sent"), pongs: grown("pongs_received"), last }
}

fn report_turn(turn: &Turn, count: usize, ended: f64, report: &mut Report) {
    let expected = count as f64 * turn.seconds / PING_INTERVAL.as_secs_f64();
    report.add(format!("pings to {count} connections in {:.0} s", turn.seconds), turn.pings, "pings");
    report.add_limited("pings, off what is expected", off(turn.pings, expected), "%", 5.0);
    report.add_limited("pongs, off what is expected", off(turn.pongs, expected), "%", 5.0);
    report.add_limited("connections ended meanwhile", ended, "connections", 0.0);
    for (quantile, name) in [("p50", "round_trip_p50_microseconds"), ("p99", "round_trip_p99_microseconds")] {
        report.add(format!("round trip of a ping, {quantile}"), number(&turn.last["heartbeat"][name]), "us");
    }
    report.add("CPU meanwhile", turn.cpu_seconds / turn.seconds * 100.0, "% of a core");
    report.add("CPU for each ping and its pong", turn.cpu_seconds / turn.pings * 1e6, "us");
}

/// By how many percent a number differs from another.
fn off(number: f64, expected: f64) -> f64 {
    (number - expected).abs() / expected * 100.0
}

/// Connections that the gateway counts as closed, whyever.
fn closed(status: &Value) -> f64 {
    status["closed_total"].as_object().expect("reasons").values().map(number).sum()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Sizes of the program, of its dependencies, and of what there is one of for each connection.
pub fn sizes(report: &mut Report) {
    match stripped_bytes() {
        Some(bytes) => report.add("the program, stripped", bytes as f64, "bytes"),
        None => eprintln!("no strip here: the program's stripped size is left out"),
    }
    report.add("crates it depends on", dependencies() as f64, "crates");
    report.add("the future of a session", size_of::<Session>() as f64, "bytes");
    report.add("GatewayClient", size_of::<GatewayClient>() as f64, "bytes");
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
