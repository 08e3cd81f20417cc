//! The program: `load --help` prints its usage.

use load::failure::Failure;
use load::{modes, options};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let Some(options) = options::parse(lexopt::Parser::from_env())? else { return print(options::HELP) };
    let report = modes::run(&options)?;
    print(&format!("{report}\n"))
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::of("standard output", error))
}
