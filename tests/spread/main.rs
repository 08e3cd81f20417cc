//! Several gateways on one port, and more connections than one process may have: `cargo bench --bench spread`, or with
//! `-- --connections N` behind it for another number than 200,000.
//!
//! Each gateway and each of the processes that connect to them has at most 20,000 descriptors. Talks to loopback only.
//! Prints a table, and writes the same to `spread.json` in the target directory.

// Shared with the other benchmarks, and not all of it is used here.
#[allow(dead_code)]
mod crowd;
mod gateway;
mod kernel;
mod load;
#[path = "../bench/number.rs"]
mod number;
#[allow(dead_code)]
#[path = "../bench/process.rs"]
mod process;
#[path = "../million/report.rs"]
mod report;
mod stages;

use report::Report;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

const EX_USAGE: u8 = 64;

/// However it goes, everything has ended after this.
const LONGEST: Duration = Duration::from_secs(240);
/// Descriptors of each process.
const DESCRIPTORS: usize = 20_000;
/// Set in the process that was started again with a higher limit.
const RAISED: &str = "SPREAD_LIMIT_RAISED";

const CONNECTIONS: usize = 200_000;
/// Twice as many ends of connections are about as much memory as a small machine has.
const MOST_CONNECTIONS: usize = 500_000;

enum Asked {
    Measure { connections: usize },
    Load(load::Share),
    Nothing,
}

fn main() -> ExitCode {
    let asked = match read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("spread: {wrong}; usage: cargo bench --bench spread -- [--connections N]");
            return ExitCode::from(EX_USAGE);
        }
    };
    thread::spawn(|| {
        thread::sleep(LONGEST);
        eprintln!("not done after {LONGEST:?}");
        process::end_all(124);
    });
    match asked {
        Asked::Nothing => println!("spread: measured by `cargo bench --bench spread` only"),
        Asked::Load(share) => load::hold(&share),
        Asked::Measure { connections } => {
            raise_descriptor_limit();
            let (began, mut report) = (Instant::now(), Report::default());
            stages::measure(connections, &mut report);
            report.add("measured in", began.elapsed().as_secs_f64(), "s");
            report.print();
            report.write(&target_dir().join("spread.json"), connections < CONNECTIONS);
            return if report.is_within_limits() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    }
    ExitCode::SUCCESS
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let (mut bench, mut connections) = (false, CONNECTIONS);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => bench = true,
            "--connections" => {
                let text = arguments.next().ok_or("--connections needs a number")?;
                let number = text.parse().ok().filter(|number| (1000..=MOST_CONNECTIONS).contains(number));
                connections = number.ok_or(format!("--connections {text}; allowed: 1000 to {MOST_CONNECTIONS}"))?;
            }
            load::ARGUMENT => return load::Share::read(arguments).map(Asked::Load).ok_or("no share".to_owned()),
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(if bench { Asked::Measure { connections } } else { Asked::Nothing })
}

/// The directory that cargo builds in.
fn target_dir() -> PathBuf {
    gateway::Gateway::binary().ancestors().nth(2).expect("target/release/aisopod-gateway").to_owned()
}

/// Starts this program again with as many descriptors as its children need, or as many as are allowed, if it has
/// fewer. A process can't raise its own limit without unsafe code; a shell can.
fn raise_descriptor_limit() {
    if aisopod_gateway::descriptor_limit() >= DESCRIPTORS || std::env::var_os(RAISED).is_some() {
        return;
    }
    let script =
        format!("ulimit -S -n {DESCRIPTORS} 2>/dev/null || ulimit -S -n \"$(ulimit -H -n)\"; exec \"$0\" \"$@\"");
    let program = std::env::current_exe().expect("the program's own path");
    let arguments = std::env::args_os().skip(1);
    let error = Command::new("sh").arg("-c").arg(script).arg(program).args(arguments).env(RAISED, "1").exec();
    eprintln!("goes on with {} descriptors: {error}", aisopod_gateway::descriptor_limit());
}
