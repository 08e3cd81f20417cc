//! Attacks a gateway beside healthy clients, and measures what they notice of it.
//!
//! - `options`: the command line
//! - `gateway`: the gateway's configuration and its process
//! - `healthy`, `newcomers`: clients that behave, connected before and during the attack
//! - `attacks`: what attackers do; `attackers`, `skim`: doing it
//! - `measure`: one attack; `bars`, `table`: its result
//! - `soak`: random misbehaviour; `mischief`: its choices; `events`: subscribers that behave; `rest`: what is left
//! - `status`, `samples`, `priority`: `/status`, latencies, which thread runs first

mod attackers;
mod attacks;
mod bars;
mod events;
mod gateway;
mod healthy;
mod measure;
mod mischief;
mod newcomers;
mod options;
mod priority;
mod rest;
mod samples;
mod skim;
mod soak;
mod status;
mod table;
#[cfg(test)]
mod test_server;

use load::failure::Failure;
use options::{Mode, Options};
use std::fmt::Display;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("hostile: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all bars are met.
fn run() -> Result<bool, Failure> {
    let Some(options) = options::parse(lexopt::Parser::from_env())? else {
        print!("{}", options::HELP);
        return Ok(true);
    };
    test_support::raise_descriptor_limit().map_err(failure_of("the descriptor limit"))?;
    match options.mode {
        Mode::List => {
            attacks::all().iter().for_each(|attack| println!("{}", attack.name));
            Ok(true)
        }
        Mode::Attacks => run_attacks(&options),
        Mode::Soak => soak::run(&options),
    }
}

fn run_attacks(options: &Options) -> Result<bool, Failure> {
    let is_selected = |name: &str| options.words.is_empty() || options.words.iter().any(|word| name.contains(word));
    print!("{}\n{}", table::HEADING, table::header());
    let (mut results, mut met) = (Vec::new(), 0);
    for attack in attacks::all().iter().filter(|attack| is_selected(&attack.name)) {
        let measurement = measure::run(attack, options)?;
        print!("{}", table::row(&measurement));
        met += usize::from(bars::missed(&measurement).is_empty());
        results.push(table::to_json(&measurement));
    }
    if results.is_empty() {
        return Err(Failure("no attack has such a name; `hostile list` prints them".to_owned()));
    }
    let is_good = met == results.len();
    println!("\n{met} of {} attacks leave the bars met", results.len());
    if let Some(path) = &options.json {
        let report = serde_json::json!({ "attacks": results });
        std::fs::write(path, format!("{report:#}\n")).map_err(failure_of(path.display()))?;
    }
    Ok(is_good)
}

/// Turns an error into a failure that says what failed.
fn failure_of<E: Display>(what: impl Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::of(what, error)
}
