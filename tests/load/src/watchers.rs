//! Programs that watch the server while it is measured: perf for instructions, strace for system calls. Each is told to
//! stop, is waited for no longer than a moment, and leaves the server as it was.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use std::cmp::Reverse;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Within this each has begun, or has ended after it was told to.
const LONGEST: Duration = Duration::from_secs(5);

/// System calls by name.
pub type Counts = Vec<(String, u64)>;

/// A child process that is ended when dropped.
struct Watcher(Child);

impl Watcher {
    /// Ends it as Ctrl-C would, and waits for it.
    fn stop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::INT);
        }
        let deadline = Instant::now() + LONGEST;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.0.kill();
                let _ = self.0.wait();
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// perf, counting instructions.
pub struct Instructions {
    perf: Watcher,
    control: ChildStdin,
    answers: ChildStdout,
}

impl Instructions {
    /// Begins to count; `None` without a word where the machine has no perf or no counters.
    pub fn watch(pids: &[u32]) -> Option<Instructions> {
        let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let mut command = Command::new("perf");
        command.args(["stat", "-x,", "-e", "instructions:u,instructions:k", "--control", "fd:0,1", "-D", "-1", "-p"]);
        command.arg(list).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut perf = Watcher(command.spawn().ok()?);
        let (control, answers) = (perf.0.stdin.take()?, perf.0.stdout.take()?);
        let mut watch = Instructions { perf, control, answers };
        watch.tell("enable\n").then_some(watch)
    }

    /// How many in user space and in the kernel since then.
    pub fn count(mut self) -> Option<(u64, u64)> {
        let told = self.tell("disable\n");
        self.perf.stop();
        let mut report = String::new();
        self.perf.0.stderr.take()?.read_to_string(&mut report).ok()?;
        if told { instructions(&report) } else { None }
    }

    /// Gives an order and waits until it was carried out.
    fn tell(&mut self, order: &str) -> bool {
        if self.control.write_all(order.as_bytes()).is_err() {
            return false;
        }
        let timeout = Timespec { tv_sec: LONGEST.as_secs() as i64, tv_nsec: 0 };
        let mut sockets = [PollFd::new(&self.answers, PollFlags::IN)];
        if !matches!(poll(&mut sockets, Some(&timeout)), Ok(1)) {
            return false;
        }
        let mut answer = [0; 16];
        self.answers.read(&mut answer).is_ok_and(|length| answer[..length].starts_with(b"ack"))
    }
}

/// The two counts in the lines of `perf stat -x,`: value, unit, event.
fn instructions(report: &str) -> Option<(u64, u64)> {
    let count = |event: &str| {
        let line = report.lines().find(|line| line.split(',').nth(2) == Some(event))?;
        line.split(',').next()?.parse().ok()
    };
    Some((count("instructions:u")?, count("instructions:k")?))
}

/// strace, counting system calls.
pub struct Syscalls(Result<Strace, String>);

struct Strace {
    watcher: Watcher,
    /// What it says on standard error, by line.
    says: Receiver<String>,
}

impl Syscalls {
    /// Begins to count.
    pub fn watch(pids: &[u32]) -> Syscalls {
        Syscalls(attach(pids))
    }

    /// The counts since then, or why there are none.
    pub fn count(self) -> Result<Counts, String> {
        let mut strace = self.0?;
        let mut summary = strace.watcher.0.stdout.take().ok_or("no pipe from strace")?;
        strace.watcher.stop();
        let mut text = String::new();
        summary.read_to_string(&mut text).map_err(|error| format!("strace: {error}"))?;
        let counts = syscalls(&text);
        if counts.is_empty() {
            return Err(format!("strace counted nothing: {}", strace.says.try_iter().collect::<Vec<_>>().join("; ")));
        }
        Ok(counts)
    }
}

fn attach(pids: &[u32]) -> Result<Strace, String> {
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-o", "/dev/stdout"]);
    pids.iter().for_each(|pid| {
        command.arg("-p").arg(pid.to_string());
    });
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watcher = Watcher(command.spawn().map_err(|error| format!("strace can't be started: {error}"))?);
    let errors = watcher.0.stderr.take().ok_or("no pipe from strace")?;
    let (sender, says) = channel();
    // Ends with strace, which closes the pipe.
    thread::spawn(move || BufReader::new(errors).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let deadline = Instant::now() + LONGEST;
    let mut waiting: Vec<String> = pids.iter().map(|pid| format!("Process {pid} attached")).collect();
    while !waiting.is_empty() {
        match says.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // Threads are announced too.
            Ok(line) if line.contains(" attached") => waiting.retain(|process| !line.contains(process)),
            Ok(line) => return Err(line),
            Err(_) => return Err("strace didn't attach in time".to_owned()),
        }
    }
    Ok(Strace { watcher, says })
}

/// The counts in the table of `strace -c`: the fourth column is the calls, the last the name.
fn syscalls(table: &str) -> Counts {
    let mut counts = Counts::new();
    for line in table.lines() {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, _, _, calls, .., name] = columns[..] else { continue };
        match calls.parse() {
            Ok(calls) if name != "total" => counts.push((name.to_owned(), calls)),
            _ => {}
        }
    }
    counts.sort_by_key(|(_, calls)| Reverse(*calls));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n \
                     60.00    0.000600           4       150         3 recvfrom\n \
                     40.00    0.000400           2       200           sendto\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.001000           3       350         3 total\n";
        assert_eq!(syscalls(table), [("sendto".to_owned(), 200), ("recvfrom".to_owned(), 150)]);
        assert!(syscalls("").is_empty());
    }

    #[test]
    fn the_lines_of_perf() {
        let report = "Events disabled\n1234,,instructions:u,100,100.00,,\n56,,instructions:k,100,100.00,,\n";
        assert_eq!(instructions(report), Some((1234, 56)));
        let missing = "<not supported>,,instructions:u,0,100.00,,\n<not supported>,,instructions:k,0,100.00,,\n";
        assert_eq!(instructions(missing), None);
    }
}
