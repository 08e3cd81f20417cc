//! Which core a program runs on: servers on one, what loads them on another, so that neither is measured with the other's
//! time. Without a second core, or without `taskset`, everything runs where it likes.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The server's core and the load generator's.
static CORES: OnceLock<Option<[usize; 2]>> = OnceLock::new();

/// A command that runs a program on the servers' core.
pub fn on_server_core(program: impl AsRef<OsStr>) -> Command {
    on_core(program, |[server, _]| server)
}

/// A command that runs a program on the load generator's core.
pub fn on_client_core(program: impl AsRef<OsStr>) -> Command {
    on_core(program, |[_, client]| client)
}

/// Whether each side has a core of its own, which the load generator may keep busy.
pub fn is_pinned() -> bool {
    cores().is_some()
}

fn on_core(program: impl AsRef<OsStr>, which: fn([usize; 2]) -> usize) -> Command {
    let Some(cores) = cores() else { return Command::new(program) };
    // It becomes the program: what is started is what is measured.
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &which(cores).to_string()]).arg(program);
    command
}

fn cores() -> Option<[usize; 2]> {
    *CORES.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").expect("the kernel's word on this process");
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list of cores");
        let cores = first_two(list.trim());
        if cores.is_none() {
            eprintln!("only one core here: servers and load generator share it, figures say little");
            return None;
        }
        let taskset = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !taskset.is_ok_and(|status| status.success()) {
            eprintln!("no taskset here (util-linux): servers and load generator run on any core");
            return None;
        }
        cores
    })
}

/// The first two cores of a list such as `0-3,8`.
fn first_two(list: &str) -> Option<[usize; 2]> {
    let mut cores = list.split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<usize>().expect("a core's number");
        number(first)..=number(last)
    });
    Some([cores.next()?, cores.next()?])
}
