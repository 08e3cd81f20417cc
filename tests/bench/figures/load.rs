//! Runs the load generator against a server, and returns its report.

use crate::affinity::{is_pinned, on_client_core};
use crate::gateway::TOKEN;
use crate::process::Process;
use crate::programs::Programs;
use crate::servers::Server;
use serde_json::Value;
use std::io::Read;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A run that takes longer is aborted; for example because a reply is lost.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);
/// Interval at which its exit is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Runs a mode of the load generator with these options, which are separated by spaces.
pub fn run(programs: &Programs, server: &Server, mode: &str, options: &str) -> Result<Value, String> {
    let mut command = on_client_core(&programs.load);
    command.arg(mode).args(["--addr", &server.addr.to_string(), "--pid", &server.process().pid().to_string()]);
    command.args(["--token", TOKEN]);
    command.args(server.dialect(mode == "fanout").split_ascii_whitespace());
    command.args(options.split_ascii_whitespace());
    if is_pinned() && mode != "hold" {
        command.arg("--busy");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let process = Process::start(&mut command);
    let status = wait(&process).ok_or_else(|| format!("{mode} aborted after {RUN_TIMEOUT:?}"))?;
    let mut line = String::new();
    // The line fits into the pipe, so that the load generator never waited for this read.
    let mut stdout = process.take_stdout().ok_or("no standard output")?;
    stdout.read_to_string(&mut line).map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("{mode}: {status}"));
    }
    serde_json::from_str(&line).map_err(|error| format!("{mode}: {error}: {line}"))
}

fn wait(process: &Process) -> Option<ExitStatus> {
    let deadline = Instant::now() + RUN_TIMEOUT;
    loop {
        let status = process.exit_status();
        if status.is_some() || Instant::now() >= deadline {
            return status;
        }
        thread::sleep(POLL_INTERVAL);
    }
}
