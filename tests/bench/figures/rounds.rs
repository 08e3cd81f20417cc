//! Runs one workload on all servers, interleaved: one server after the other, then all of them again, so that other load on
//! the machine affects all alike. The gateway is compared with the others within each round.

use crate::load;
use crate::programs::Programs;
use crate::report::{Report, Row, median};
use crate::servers::{Kind, Server};
use crate::workloads::{Figure, Workload};
use serde_json::Value;
use std::time::Instant;

/// The load generator's reports on one server, by round; `None` where the run failed.
struct Results {
    kind: Kind,
    rounds: Vec<Option<Value>>,
}

/// Runs all rounds, and adds their figures to the report.
pub fn run(workload: &Workload, programs: &Programs, report: &mut Report) {
    let mut all: Vec<Results> =
        workload.servers.iter().map(|kind| Results { kind: *kind, rounds: Vec::new() }).collect();
    for round in 1..=workload.rounds {
        let start = Instant::now();
        for results in &mut all {
            let result = run_once(workload, results.kind, programs);
            let name = results.kind.name();
            results
                .rounds
                .push(result.map_err(|error| report.fail(format!("{}, {name}: {error}", workload.name))).ok());
        }
        eprintln!("{} ({round} of {}): {:.0} s", workload.name, workload.rounds, start.elapsed().as_secs_f64());
    }
    for figure in &workload.figures {
        all.iter().for_each(|results| report.add(row(workload, figure, results, &all)));
    }
}

fn run_once(workload: &Workload, kind: Kind, programs: &Programs) -> Result<Value, String> {
    let server = Server::start(kind, programs, workload.protocol, workload.pings)?;
    let options = format!("{} --connections {}", workload.options, workload.connections);
    let result = load::run(programs, &server, workload.mode, &options)?;
    match result["open_when_measured"].as_u64() {
        Some(open) if open != workload.connections as u64 => Err(format!("only {open} connections were open")),
        _ => Ok(result),
    }
}

fn row(workload: &Workload, figure: &Figure, results: &Results, all: &[Results]) -> Row {
    let gateway = all.iter().find(|results| results.kind == Kind::Gateway);
    let ratio = || gateway.and_then(|gateway| ratio(figure, gateway, results)).unwrap_or(f64::NAN);
    Row {
        workload: workload.name.clone(),
        figure: figure.name.to_owned(),
        unit: figure.unit,
        server: results.kind.name().to_owned(),
        samples: results.rounds.iter().flatten().filter_map(|result| figure.value(result)).collect(),
        ratio: (results.kind != Kind::Gateway).then(ratio),
        bound: figure.bound_for(results.kind),
    }
}

/// The median over all rounds of the gateway's figure divided by another server's.
fn ratio(figure: &Figure, gateway: &Results, other: &Results) -> Option<f64> {
    let pairs = gateway.rounds.iter().zip(&other.rounds);
    let ratios: Vec<f64> = pairs
        .filter_map(|(gateway, other)| Some(figure.value(gateway.as_ref()?)? / figure.value(other.as_ref()?)?))
        .collect();
    median(&ratios)
}
