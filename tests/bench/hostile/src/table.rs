//! The measurements as a table and as JSON.

use crate::bars::missed;
use crate::measure::Measurement;
use crate::newcomers::Arrivals;
use crate::samples::Quantiles;
use serde_json::{Value, json};
use std::fmt::Write;

const MIB: f64 = 1024.0 * 1024.0;
/// The kinds of ends of attackers' connections that are printed, the most frequent first.
const ENDS: usize = 4;

/// What the columns mean.
pub const HEADING: &str = "\
healthy clients: p50, p99 and maximum in ms, and the worst client's p99; own: p99 of this program's own delay in ms
memory in MiB: resident before the attack, the most during it, the most that /status reports as held, the bound
";

/// The names of the columns.
pub fn header() -> String {
    format!(
        "{:<38}{:>22} {:>30} {:>6} {:>5}{:>5}{:>5} {:>22} {:>5}  {}\n",
        "attack",
        "quiet p50/p99/max",
        "attacked p50/p99/max/worst",
        "own",
        "lost",
        "disc",
        "ord",
        "MiB quiet/peak/held/bound",
        "CPU%",
        "bars"
    )
}

/// A measurement in one line, and what became of attackers and newcomers below it.
pub fn row(measurement: &Measurement) -> String {
    let Measurement { quiet, attacked, own_delay, damage, memory, outcome, watch, .. } = measurement;
    let missed = missed(measurement);
    let bars = if missed.is_empty() { "met".to_owned() } else { format!("MISSED: {}", missed.join(", ")) };
    let mib = |bytes: u64| bytes as f64 / MIB;
    let mut text = format!(
        "{:<38}{:>22} {:>30} {:>6.1} {:>5}{:>5}{:>5} {:>25} {:>5.0}  {bars}\n",
        measurement.attack,
        format!("{:.2}/{:.2}/{:.1}", quiet.p50, quiet.p99, quiet.max),
        format!("{:.2}/{:.2}/{:.1}/{:.1}", attacked.p50, attacked.p99, attacked.max, attacked.worst_p99),
        own_delay.p99,
        damage.lost,
        damage.disconnected,
        damage.out_of_order,
        format!("{:.0}/{:.0}/{:.0}/{:.0}", mib(memory.quiet), mib(memory.peak), mib(memory.held), mib(memory.bound)),
        measurement.cpu_percent,
    );
    let _ = writeln!(
        text,
        "    attackers: {} opened, {:.1} MiB sent, {:.1} MiB and {} frames received{}",
        outcome.opened,
        mib(outcome.bytes_sent),
        mib(outcome.bytes_received),
        outcome.frames_received,
        ends(measurement),
    );
    let _ =
        writeln!(text, "    newcomers: {}; at ops.listen: {}", arrivals(&watch.clients), arrivals(&watch.operators));
    text
}

fn ends(measurement: &Measurement) -> String {
    let mut ends: Vec<_> = measurement.outcome.ends.iter().collect();
    ends.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    ends.iter().take(ENDS).map(|(end, count)| format!("; {count} {end}")).collect()
}

fn arrivals(arrivals: &Arrivals) -> String {
    let Arrivals { tried, succeeded, failure, latency } = arrivals;
    let mut text = format!("{succeeded} of {tried} in {:.1} ms, at most {:.1}", latency.p50, latency.max);
    if let Some(failure) = failure {
        let _ = write!(text, " (first failure: {failure})");
    }
    text
}

/// A measurement as JSON; latencies in milliseconds.
pub fn to_json(measurement: &Measurement) -> Value {
    let Measurement { quiet, attacked, own_delay, damage, memory, outcome, watch, .. } = measurement;
    let missed = missed(measurement);
    json!({
        "attack": measurement.attack, "quiet": quantiles(quiet), "attacked": quantiles(attacked),
        "own_delay": quantiles(own_delay),
        "lost": damage.lost, "disconnected": damage.disconnected, "out_of_order": damage.out_of_order,
        "memory": {
            "quiet_bytes": memory.quiet, "peak_bytes": memory.peak,
            "held_bytes": memory.held, "bound_bytes": memory.bound,
        },
        "cpu_percent": measurement.cpu_percent,
        "attackers": {
            "opened": outcome.opened, "bytes_sent": outcome.bytes_sent, "bytes_received": outcome.bytes_received,
            "frames_received": outcome.frames_received, "ends": outcome.ends,
        },
        "newcomers": arrivals_json(&watch.clients), "operators": arrivals_json(&watch.operators),
        "missed": missed,
    })
}

fn quantiles(quantiles: &Quantiles) -> Value {
    let Quantiles { count, p50, p99, max, worst_p99, .. } = quantiles;
    json!({ "count": count, "p50": p50, "p99": p99, "max": max, "worst_client_p99": worst_p99 })
}

fn arrivals_json(arrivals: &Arrivals) -> Value {
    let Arrivals { tried, succeeded, failure, latency } = arrivals;
    json!({ "tried": tried, "succeeded": succeeded, "failure": failure, "latency": quantiles(latency) })
}
