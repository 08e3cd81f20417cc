//! The gateway's figures, measured on the real binary from outside: `cargo bench --bench figures`, or with
//! `-- quick` behind it for fewer connections.
//!
//! Talks to loopback only. Prints a table, and writes the same to `bench.json` in the target directory. Ends with 1
//! when a figure is beyond its limit.

mod crowd;
mod figures;
mod floor;
mod gateway;
mod handshakes;
mod peer;
mod process;
mod report;

use report::Report;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

/// However it goes, everything has ended after this.
const LONGEST: Duration = Duration::from_secs(300);
/// Descriptors for all connections of the full run, in this process and in the gateway.
const DESCRIPTORS: usize = 20_000;
/// Descriptors that are not for connections, with room to spare.
const RESERVED: usize = 1000;
/// Set in the process that was started again with a higher limit.
const RAISED: &str = "FIGURES_LIMIT_RAISED";

/// How much is measured.
pub struct Plan {
    /// Starts, for the median.
    pub starts: usize,
    /// Connections for the first look at memory.
    pub few: usize,
    /// Connections for the second, and for the pings.
    pub many: usize,
    /// Over how long pings are counted.
    pub pinging: Duration,
    /// One of two turns of handshakes that each server has.
    pub shaking: Duration,
}

impl Plan {
    fn new(quick: bool) -> Self {
        let most = descriptors() - RESERVED;
        let (few, many, pinging, shaking) = if quick { (2000, 5000, 6, 1000) } else { (5000, 19_000, 12, 2500) };
        Plan {
            starts: 20,
            few: few.min(most),
            many: many.min(most),
            pinging: Duration::from_secs(pinging),
            shaking: Duration::from_millis(shaking),
        }
    }
}

/// How many descriptors a process here may have open.
pub fn descriptors() -> usize {
    aisopod_gateway::descriptor_limit()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has(peer::ARGUMENT) {
        peer::serve();
        return ExitCode::SUCCESS;
    }
    if !has("--bench") {
        println!("figures: measured by `cargo bench --bench figures` only");
        return ExitCode::SUCCESS;
    }
    raise_descriptor_limit(&arguments);
    thread::spawn(|| {
        thread::sleep(LONGEST);
        eprintln!("not done after {LONGEST:?}");
        process::end_all(124);
    });
    let began = Instant::now();
    let plan = Plan::new(has("quick"));
    let mut report = Report::default();
    measure(&plan, &mut report);
    report.add("measured in", began.elapsed().as_secs_f64(), "s");
    report.print();
    report.write(&gateway::target_dir().join("bench.json"), has("quick"));
    if report.is_within_limits() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(plan: &Plan, report: &mut Report) {
    eprintln!("starting {} times", plan.starts);
    figures::starts(plan, report);
    for count in [plan.few, plan.many] {
        eprintln!("{count} idle connections");
        figures::memory(count, report);
    }
    eprintln!("{} connections, pinged for {:?}", plan.many, plan.pinging);
    figures::pings(plan, report);
    eprintln!("handshakes");
    handshakes::compare(plan, report);
    figures::sizes(report);
}

/// Starts this program again with as many descriptors as the full run needs, or as many as are allowed, if it has
/// fewer. A process can't raise its own limit without unsafe code; a shell can.
fn raise_descriptor_limit(arguments: &[String]) {
    if descriptors() >= DESCRIPTORS || std::env::var_os(RAISED).is_some() {
        return;
    }
    let script =
        format!("ulimit -S -n {DESCRIPTORS} 2>/dev/null || ulimit -S -n \"$(ulimit -H -n)\"; exec \"$0\" \"$@\"");
    let program = std::env::current_exe().expect("the program's own path");
    let error = Command::new("sh").arg("-c").arg(script).arg(program).args(arguments).env(RAISED, "1").exec();
    eprintln!("goes on with {} descriptors: {error}", descriptors());
}
