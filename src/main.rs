//! The program: what the command line asks for, and the exit code.

mod args;
mod daemon;

use args::Command;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

/// What each connection costs is mostly small blocks aligned to 128 bytes; glibc's allocator leaves gaps between them.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// `EX_IOERR` of sysexits(3).
const EX_IOERR: u8 = 74;

fn main() -> ExitCode {
    match args::parse() {
        Command::Run(config) => daemon::run(*config),
        Command::Check(config) => {
            let doubts = daemon::doubts(&config).map(|doubt| format!("warning: {doubt}\n"));
            print(&(doubts.collect::<String>() + "the configuration is valid\n"))
        }
        Command::Print(text) => print(&text),
        Command::Fail { code, message } => fail(code, &message),
    }
}

fn print(text: &str) -> ExitCode {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EX_IOERR, &format!("standard output: {error}")),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    // Without a standard error the exit code has to do.
    let _ = writeln!(stderr(), "{message}");
    ExitCode::from(code)
}
