//! The gateway's figures, and how it stands beside what one would run instead: `cargo bench --bench figures`, with
//! `-- quick` behind it for a short run, and with other words for those kinds of work only whose names have one of them.
//!
//! Everything is measured from outside, on real programs, over loopback. Prints a table, and writes the same to
//! `bench.json` in the target directory. Ends with 1 when a figure isn't what it has to be.

mod figures;
mod gateway;
mod growth;
mod load;
mod number;
mod pinned;
mod plan;
mod process;
mod programs;
mod report;
mod rounds;
mod servers;
mod stuck;
#[path = "../common/tools.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod tools;
mod works;

use plan::{Plan, descriptors};
use programs::Programs;
use report::Report;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

/// However it goes, everything has ended after this.
const LONGEST: Duration = Duration::from_secs(1200);
/// Descriptors for all connections of the full run, in the load generator and in the server.
const DESCRIPTORS: usize = 20_000;
/// Set in the process that was started again with a higher limit.
const RAISED: &str = "FIGURES_LIMIT_RAISED";

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut take = |word: &str| {
        let before = words.len();
        words.retain(|other| other != word);
        words.len() < before
    };
    let (is_bench, quick) = (take("--bench"), take("quick"));
    if !is_bench {
        println!("figures: measured by `cargo bench --bench figures` only");
        return ExitCode::SUCCESS;
    }
    raise_descriptor_limit();
    thread::spawn(|| {
        thread::sleep(LONGEST);
        eprintln!("not done after {LONGEST:?}");
        process::end_all(124);
    });
    let programs = Programs::build();
    let (plan, began, mut report) = (Plan::new(quick), Instant::now(), Report::default());
    measure(&plan, &words, &programs, &mut report);
    let path = gateway::target_dir().join("bench.json");
    report.write(&path, &plan);
    print!("{}", report.table());
    let (met, judged) = report.met();
    println!(
        "\n{met} of {judged} figures are what they must be; {:.0} s; {}",
        began.elapsed().as_secs_f64(),
        path.display()
    );
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every kind of work, or those with one of these words in their names.
fn measure(plan: &Plan, words: &[String], programs: &Programs, report: &mut Report) {
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    if wanted("start") {
        figures::starts(plan, report);
    }
    for work in works::all(plan).iter().filter(|work| wanted(&work.name)) {
        rounds::run(work, programs, report);
    }
    if wanted("pinged") {
        figures::pings(plan, programs, report).unwrap_or_else(|error| report.fail(format!("pings: {error}")));
    }
    if wanted("calls") {
        stuck::run(plan, report).unwrap_or_else(|error| report.fail(format!("calls: {error}")));
    }
    if wanted("growth") {
        growth::run(plan, programs, report).unwrap_or_else(|error| report.fail(format!("growth: {error}")));
    }
    if wanted("sizes") {
        figures::sizes(report);
    }
}

/// Starts this program again with as many descriptors as the full run needs, or as many as are allowed, if it has
/// fewer. A process can't raise its own limit without unsafe code; a shell can.
fn raise_descriptor_limit() {
    if descriptors() >= DESCRIPTORS || std::env::var_os(RAISED).is_some() {
        return;
    }
    let script =
        format!("ulimit -S -n {DESCRIPTORS} 2>/dev/null || ulimit -S -n \"$(ulimit -H -n)\"; exec \"$0\" \"$@\"");
    let (program, arguments) = (std::env::current_exe().expect("the program's own path"), std::env::args_os().skip(1));
    let error = Command::new("sh").arg("-c").arg(script).arg(program).args(arguments).env(RAISED, "1").exec();
    eprintln!("goes on with {} descriptors: {error}", descriptors());
}
