//! The load generator, run against a server until it prints its one line.

use crate::gateway::TOKEN;
use crate::pinned::{is_pinned, on_client_core};
use crate::process::Process;
use crate::programs::Programs;
use serde_json::Value;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// However it goes, a run has ended after this; by itself it gives up earlier.
const LONGEST_RUN: Duration = Duration::from_secs(120);
/// Whether it has ended is looked at this often.
const GLANCE: Duration = Duration::from_millis(10);

/// Runs it in a mode, with these options, and returns what it measured.
///
/// # Errors
/// What went wrong; the load generator has said more on standard error.
pub fn run(
    programs: &Programs,
    mode: &str,
    options: &[String],
    addr: SocketAddr,
    server: &Process,
) -> Result<Value, String> {
    let mut command = on_client_core(&programs.load);
    command.arg(mode).args(["--addr", &addr.to_string(), "--token", TOKEN, "--pid", &server.pid().to_string()]);
    // On a core that it shares with the server it would take the server's time.
    command.args(options.iter().filter(|option| is_pinned() || *option != "--busy"));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let process = Process::start(&mut command);
    let status = wait(&process).ok_or_else(|| format!("{mode} not done after {LONGEST_RUN:?}"))?;
    let mut line = String::new();
    // A line is far shorter than what a pipe holds, so that it was never waited for.
    let stdout = process.with(|child| child.stdout.take()).ok_or("no standard output")?;
    { stdout }.read_to_string(&mut line).map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("{mode}: {status}"));
    }
    serde_json::from_str(&line).map_err(|error| format!("{mode}: {error}: {line}"))
}

/// Waits for its end, not for ever.
fn wait(process: &Process) -> Option<ExitStatus> {
    let deadline = Instant::now() + LONGEST_RUN;
    loop {
        // The lock isn't held while waiting: whoever ends all children needs it.
        let ended = process.with(|child| child.try_wait()).expect("a child of this process");
        if ended.is_some() || Instant::now() >= deadline {
            return ended;
        }
        thread::sleep(GLANCE);
    }
}
