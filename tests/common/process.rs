//! A program beside the gateway: its lines as they come. Killed when dropped.

use super::{PATIENCE, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (sender, answers) = channel();
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let stderr = complaints.clone();
        read_lines(child.stdout.take(), move |line| {
            // Nobody may be interested any more.
            let _ = sender.send(line);
        });
        read_lines(child.stderr.take(), move |line| stderr.lock().unwrap().push(line));
        Process { stdin: child.stdin.take(), child, answers, complaints }
    }

    /// Takes its standard input, for a thread of its own.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("an open standard input")
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("an open standard input");
        if let Err(error) = writeln!(stdin, "{line}") {
            panic!("{line:?} was not read: {error}; {:#?}", self.complaints());
        }
    }

    /// The next line of its standard output.
    pub fn hear(&self) -> String {
        self.answers
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("no further line: {error}; {:#?}", self.complaints()))
    }

    /// The same as JSON.
    pub fn hear_json(&self) -> Value {
        let line = self.hear();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON: {error}: {line:?}"))
    }

    /// Its standard error so far.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap().clone()
    }

    /// Waits until its standard error has a line that fits.
    pub fn wait_for_complaint(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.complaints().into_iter().find(|line| fits(line)) {
                return line;
            }
            assert!(Instant::now() < deadline, "no line with {what}: {:#?}", self.complaints());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the program ends", || {
            ended = self.child.try_wait().expect("a child");
            ended.is_some()
        });
        ended.expect("it ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(stream: Option<impl Read + Send + 'static>, mut each: impl FnMut(String) + Send + 'static) {
    let stream = stream.expect("a piped stream");
    thread::spawn(move || BufReader::new(stream).lines().map_while(Result::ok).for_each(&mut each));
}
