//! A million clients without sockets in the registry and the heartbeat, and how long anybody has to wait for it:
//! `cargo bench --bench million`, or with `-- quick` behind it for a tenth of them.
//!
//! The heartbeat is the real one at its default interval of 30 s; a thread plays the sessions' part, which is to hear
//! from every client that was pinged. Prints a table, and writes the same to `million.json` in the target directory.
//! Ends with 1 when a figure is beyond its limit.

mod crowd;
#[path = "../bench/number.rs"]
mod number;
mod pause;
mod process;
mod report;
mod stages;

use report::Report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const EX_USAGE: u8 = 64;

/// However it goes, it has ended after this.
const LONGEST: Duration = Duration::from_secs(240);

const MANY: usize = 1_000_000;
const FEWER: usize = 100_000;

fn main() -> ExitCode {
    let (mut bench, mut quick) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--bench" => bench = true,
            "quick" => quick = true,
            other => {
                eprintln!("million: unknown argument {other:?}; usage: cargo bench --bench million -- [quick]");
                return ExitCode::from(EX_USAGE);
            }
        }
    }
    if !bench {
        println!("million: measured by `cargo bench --bench million` only");
        return ExitCode::SUCCESS;
    }
    thread::spawn(|| {
        thread::sleep(LONGEST);
        eprintln!("not done after {LONGEST:?}");
        std::process::exit(124);
    });
    let (began, mut report) = (Instant::now(), Report::default());
    stages::measure(if quick { FEWER } else { MANY }, &mut report);
    report.add("measured in", began.elapsed().as_secs_f64(), "s");
    report.print();
    report.write(&target_dir().join("million.json"), quick);
    if report.is_within_limits() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The directory that cargo builds in.
fn target_dir() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_aisopod-gateway"));
    binary.ancestors().nth(2).expect("target/release/aisopod-gateway").to_owned()
}
