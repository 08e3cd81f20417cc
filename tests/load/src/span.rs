//! The measured part of a run: what the server used in it, by the kernel's count and by programs that watch it.

use crate::args::Options;
use crate::failure::Failure;
use crate::json::Json;
use crate::process::{self, Memory, Usage};
use crate::watchers::{Counts, Instructions, Syscalls};
use std::time::{Duration, Instant};

/// A part that has begun.
pub struct Span {
    pids: Vec<u32>,
    instructions: Option<Instructions>,
    syscalls: Option<Syscalls>,
    before: Usage,
    client_before: Usage,
    began: Instant,
}

/// What happened in it.
pub struct Measured {
    /// How long it was.
    pub elapsed: Duration,
    usage: Option<Usage>,
    memory: Option<Memory>,
    client_cpu_seconds: f64,
    instructions: Option<(u64, u64)>,
    /// Counts, or why there are none; nothing when they weren't asked for.
    syscalls: Option<Result<Counts, String>>,
}

impl Span {
    /// Begins now.
    pub fn begin(options: &Options) -> Result<Span, Failure> {
        let pids = options.pids.clone();
        let syscalls = options.syscalls.then(|| Syscalls::watch(&pids));
        // Two watchers at once would watch each other's work.
        let instructions = if options.syscalls || pids.is_empty() { None } else { Instructions::watch(&pids) };
        let client_before = process::usage(&[std::process::id()])?;
        let before = process::usage(&pids)?;
        Ok(Span { pids, instructions, syscalls, before, client_before, began: Instant::now() })
    }

    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Ends now.
    pub fn end(self) -> Result<Measured, Failure> {
        let elapsed = self.began.elapsed();
        let used = process::usage(&self.pids)? - self.before;
        let client = process::usage(&[std::process::id()])? - self.client_before;
        let instructions = self.instructions.and_then(Instructions::count);
        let syscalls = self.syscalls.map(Syscalls::count);
        let watched = !self.pids.is_empty();
        Ok(Measured {
            elapsed,
            usage: watched.then_some(used),
            memory: if watched { Some(process::memory(&self.pids)?) } else { None },
            client_cpu_seconds: client.cpu_seconds(),
            instructions,
            syscalls,
        })
    }
}

impl Measured {
    /// Adds the server's figures, for each of so many units too (`message` and so on).
    pub fn add_to(&self, json: &mut Json, unit: Option<(&str, u64)>) {
        let usage = self.usage.as_ref();
        let each = |seconds: f64, count: u64| seconds * 1e6 / count as f64;
        if let Some((unit, count)) = unit {
            let cpu = usage.map(|usage| each(usage.cpu_seconds(), count));
            json.add(format!("server_cpu_microseconds_per_{unit}"), cpu);
        }
        json.add("cpu_seconds", usage.map(Usage::cpu_seconds));
        json.add("cpu_user_seconds", usage.map(|usage| usage.user_seconds));
        json.add("cpu_system_seconds", usage.map(|usage| usage.system_seconds));
        json.add("cpu_percent_of_a_core", usage.map(|usage| usage.cpu_seconds() / self.elapsed.as_secs_f64() * 100.0));
        json.add("voluntary_switches", usage.map(|usage| usage.voluntary_switches));
        json.add("nonvoluntary_switches", usage.map(|usage| usage.nonvoluntary_switches));
        json.add("resident_bytes", self.memory.map(|memory| memory.resident));
        json.add("private_bytes", self.memory.and_then(|memory| memory.private));
        json.add("client_cpu_seconds", self.client_cpu_seconds);
        json.add(
            "instructions",
            self.instructions.map(|(user, kernel)| {
                let mut json = Json::object();
                json.add("user", user);
                json.add("kernel", kernel);
                json
            }),
        );
        self.add_syscalls(json, unit);
    }

    fn add_syscalls(&self, json: &mut Json, unit: Option<(&str, u64)>) {
        json.add("traced", matches!(self.syscalls, Some(Ok(_))));
        let counts = match &self.syscalls {
            None => return,
            Some(Err(reason)) => {
                json.add("syscalls", Json::Null);
                json.add("syscalls_missing_because", reason.as_str());
                return;
            }
            Some(Ok(counts)) => counts,
        };
        let mut total = Json::object();
        counts.iter().for_each(|(name, count)| total.add(name.as_str(), *count));
        json.add("syscalls", total);
        if let Some((unit, units)) = unit {
            let mut each = Json::object();
            counts.iter().for_each(|(name, count)| each.add(name.as_str(), *count as f64 / units as f64));
            json.add(format!("syscalls_per_{unit}"), each);
        }
    }
}
