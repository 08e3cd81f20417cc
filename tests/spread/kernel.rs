//! What the kernel has for all sockets, and for a process.

use crate::process::Process;
use std::fs;

/// The kernel's memory now.
pub struct Kernel {
    /// Structures of its own, sockets among them.
    pub slab: f64,
    /// What sockets have queued, or may queue without asking.
    pub tcp_buffers: f64,
    /// TCP sockets, both ends.
    pub tcp_sockets: f64,
    /// What could be had for other uses.
    pub available: f64,
}

impl Kernel {
    /// Reads it.
    pub fn look() -> Self {
        let (memory, sockets) = (read("/proc/meminfo"), read("/proc/net/sockstat"));
        let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).expect("TCP");
        Kernel {
            slab: after(&memory, "Slab:") * 1024.0,
            tcp_buffers: after(tcp, "mem") * 4096.0,
            tcp_sockets: after(tcp, "inuse"),
            available: after(&memory, "MemAvailable:") * 1024.0,
        }
    }
}

/// Resident bytes of a process.
pub fn resident_bytes(process: &Process) -> f64 {
    let pid = process.pid();
    after(&read(&format!("/proc/{pid}/status")), "VmRSS:") * 1024.0
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The number behind a word.
fn after(text: &str, word: &str) -> f64 {
    let mut words = text.split_ascii_whitespace().skip_while(|other| *other != word);
    words.nth(1).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {word} in {text}"))
}

/// What `/proc/PID/stat` counts CPU time in, on every Linux: `USER_HZ`.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process's CPU time so far, in seconds, in the kernel and outside.
pub fn cpu_seconds(process: &Process) -> f64 {
    let stat = read(&format!("/proc/{}/stat", process.pid()));
    // The second field is the program's name in parentheses, which may hold anything.
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 1..].split_ascii_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number of ticks");
    // utime and stime are the fields 14 and 15, counted from 1; the first of these is the third.
    (ticks(14 - 3) + ticks(15 - 3)) / TICKS_PER_SECOND
}
