//! The gateway's parts beside their rivals, which take turns within each round: what else the machine does is shared
//! out. `cargo bench --bench ratios`, with the names of parts behind `--` if not all are wanted, and `--json FILE` to
//! have the figures in a file too.

mod contest;
mod envelope;
mod queues;
mod registry;
mod resident;
mod timers;

use contest::Scores;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// However it goes, it has ended after this.
const LONGEST: Duration = Duration::from_secs(90);

const EX_USAGE: u8 = 64;

/// A part's name, and what measures it.
type Part = (&'static str, fn(&mut Scores));

/// What is measured, in this order: weights while no freed memory lies about that could be used again.
const PARTS: [Part; 5] = [
    ("weights", queues::weigh),
    ("registry", registry::measure),
    ("wheel", timers::measure),
    ("outbox", queues::measure),
    ("envelope", envelope::measure),
];

fn main() -> ExitCode {
    let plan = match read(std::env::args().skip(1)) {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            println!("ratios: measured by `cargo bench --bench ratios` only");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            let parts = PARTS.map(|(name, _)| name).join("|");
            eprintln!("ratios: {wrong}; usage: cargo bench --bench ratios -- [{parts}]... [--json FILE]");
            return ExitCode::from(EX_USAGE);
        }
    };
    thread::spawn(|| {
        thread::sleep(LONGEST);
        eprintln!("not done after {LONGEST:?}");
        std::process::exit(124);
    });
    let (began, mut scores) = (Instant::now(), Scores::default());
    for (name, measure) in PARTS {
        if plan.parts.is_empty() || plan.parts.contains(&name) {
            measure(&mut scores);
        }
    }
    scores.print();
    println!("measured in {:.0} s", began.elapsed().as_secs_f64());
    if let Some(path) = plan.file
        && let Err(error) = scores.write(&path)
    {
        eprintln!("ratios: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[derive(Default)]
struct Plan {
    /// Those that are wanted; none means all.
    parts: Vec<&'static str>,
    /// Where the figures go as JSON.
    file: Option<PathBuf>,
}

/// `None` where `cargo bench` isn't at work: `cargo test` starts every benchmark too.
fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Plan>, String> {
    let (mut bench, mut plan) = (false, Plan::default());
    while let Some(argument) = arguments.next() {
        let part = PARTS.iter().find(|(name, _)| *name == argument);
        match (argument.as_str(), part) {
            ("--bench", _) => bench = true,
            ("--json", _) => plan.file = Some(arguments.next().ok_or("--json needs a file's name")?.into()),
            (_, Some((name, _))) => plan.parts.push(name),
            (other, None) => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(bench.then_some(plan))
}
