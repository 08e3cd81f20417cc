//! CPU affinity: servers run on one core, the load generator on another, so that neither is charged for the other's time.
//! Without a second core, or without `taskset`, nothing is pinned.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Two cores that this process may use.
#[derive(Clone, Copy)]
struct Cores {
    server: usize,
    client: usize,
}

static CORES: OnceLock<Option<Cores>> = OnceLock::new();

/// A command that runs a program on the servers' core.
pub fn on_server_core(program: impl AsRef<OsStr>) -> Command {
    on_core(program, |cores| cores.server)
}

/// A command that runs a program on the load generator's core.
pub fn on_client_core(program: impl AsRef<OsStr>) -> Command {
    on_core(program, |cores| cores.client)
}

/// Whether both sides have a core of their own, so that the load generator may poll without sleeping.
pub fn is_pinned() -> bool {
    cores().is_some()
}

fn on_core(program: impl AsRef<OsStr>, select: fn(Cores) -> usize) -> Command {
    let Some(cores) = cores() else { return Command::new(program) };
    // taskset executes the program in its own process: the child's PID is the program's.
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &select(cores).to_string()]).arg(program);
    command
}

fn cores() -> Option<Cores> {
    *CORES.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list of cores");
        let cores = first_two(list.trim());
        if cores.is_none() {
            eprintln!("only one core: servers and load generator share it, and the figures mean little");
            return None;
        }
        let taskset = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !taskset.is_ok_and(|status| status.success()) {
            eprintln!("taskset (util-linux) isn't installed: servers and load generator run on any core");
            return None;
        }
        cores
    })
}

/// The first two cores of a list such as `0-3,8`.
fn first_two(list: &str) -> Option<Cores> {
    let mut cores = list.split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<usize>().expect("a core's number");
        number(first)..=number(last)
    });
    Some(Cores { server: cores.next()?, client: cores.next()? })
}
