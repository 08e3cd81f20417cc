//! Another program as a child process, with its output line by line.

use super::{TIMEOUT, poll, wait_for};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// The lines of a stream, collected by a thread.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Collects the lines of a piped stream until its end.
    pub fn collect(stream: Option<impl Read + Send + 'static>) -> Lines {
        let lines = Lines::default();
        let collected = lines.clone();
        read_lines(stream, move |line| collected.0.lock().unwrap().push(line));
        lines
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for the first line that matches. Panics with `what` after [`TIMEOUT`].
    pub fn wait_for(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        let find = || self.0.lock().unwrap().iter().find(|line| matches(line)).cloned();
        poll(find, || format!("no line with {what}: {:#?}", self.all()))
    }
}

/// A running program. Killed when dropped.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Lines,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (sender, stdout) = channel();
        // Sending fails only after the `Process` was dropped.
        read_lines(child.stdout.take(), move |line| _ = sender.send(line));
        let stderr = Lines::collect(child.stderr.take());
        Process { stdin: child.stdin.take(), child, stdout, stderr }
    }

    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("an open standard input");
        if let Err(error) = writeln!(stdin, "{line}") {
            panic!("writing {line:?}: {error}; {:#?}", self.stderr());
        }
    }

    pub fn read_line(&self) -> String {
        let line = self.stdout.recv_timeout(TIMEOUT);
        line.unwrap_or_else(|error| panic!("no further line: {error}; {:#?}", self.stderr()))
    }

    pub fn read_json(&self) -> Value {
        let line = self.read_line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON: {error}: {line:?}"))
    }

    pub fn stderr(&self) -> Vec<String> {
        self.stderr.all()
    }

    pub fn wait_for_stderr(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        self.stderr.wait_for(what, matches)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Closes the standard input and waits for the exit.
    pub fn wait(&mut self) -> ExitStatus {
        self.stdin = None;
        wait_for("the program's exit", || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it has exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills a child that leads a process group, with the whole group.
pub fn kill_group(leader: &mut Child) {
    // Both fail if they have exited.
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", leader.id())]).status();
    let _ = leader.wait();
}

fn read_lines(stream: Option<impl Read + Send + 'static>, each: impl FnMut(String) + Send + 'static) {
    let stream = stream.expect("a piped stream");
    thread::spawn(move || BufReader::new(stream).lines().map_while(Result::ok).for_each(each));
}
