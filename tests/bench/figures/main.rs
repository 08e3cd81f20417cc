//! The benchmark: measures the gateway, and compares it with other servers. `cargo bench --bench figures` runs all
//! workloads; `-- quick` shortens them, and any other words select the workloads whose names contain one of them.
//!
//! Everything is measured from outside, on real programs, over loopback. Prints a table, and writes the same to `bench.json`
//! in the target directory. Exits with 1 if a bound is missed.

mod affinity;
mod gateway;
mod load;
mod number;
mod plan;
mod process;
mod programs;
mod report;
mod rounds;
mod servers;
mod stalled_node;
mod third_party;
mod workloads;

use gateway::Gateway;
use plan::Plan;
use programs::Programs;
use report::{Report, Row};
use servers::Kind;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut take = |word: &str| {
        let before = words.len();
        words.retain(|other| other != word);
        words.len() < before
    };
    let (is_bench, quick) = (take("--bench"), take("quick"));
    if !is_bench {
        println!("figures: runs with `cargo bench --bench figures` only");
        return ExitCode::SUCCESS;
    }
    let descriptors = test_support::raise_descriptor_limit().expect("a process may raise its soft limit");
    let programs = Programs::build();
    let (plan, start, mut report) = (Plan::new(quick, descriptors), Instant::now(), Report::default());
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_available()) {
        report.skip(format!("{}: not installed; make bench-tools installs it", kind.name()));
    }
    measure(&plan, &words, &programs, &mut report);
    let path = gateway::target_dir().join("bench.json");
    report.write(&path, &plan);
    print!("{}", report.table());
    let (met, bounds) = report.bounds();
    println!("\n{met} of {bounds} bounds are met; {:.0} s; {}", start.elapsed().as_secs_f64(), path.display());
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all workloads, or those whose names contain one of these words.
fn measure(plan: &Plan, words: &[String], programs: &Programs, report: &mut Report) {
    let is_selected = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    if is_selected("start") {
        eprintln!("{} starts", plan.starts);
        let start = || Gateway::start_unpinned(gateway::NO_PINGS).start_time.as_secs_f64() * 1e3;
        let times = (0..plan.starts).map(|_| start()).collect();
        report.add(Row::of_gateway("start", "until READY=1", "ms", times));
    }
    for workload in workloads::all(plan).iter().filter(|workload| is_selected(&workload.name)) {
        rounds::run(workload, programs, report);
    }
    if is_selected("calls at a time to a stalled node") {
        stalled_node::run(plan, report).unwrap_or_else(|error| report.fail(format!("stalled node: {error}")));
    }
}
