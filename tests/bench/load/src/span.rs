//! The measured part of a run: how long it took, and the CPU time that the server used in it.

use crate::failure::Failure;
use crate::options::Options;
use crate::process::CpuTime;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// A measured part that has started.
pub struct Span {
    pid: Option<u32>,
    server: Option<CpuTime>,
    start: Instant,
}

/// A measured part that has ended.
pub struct Measured {
    pub elapsed: Duration,
    server_seconds: Option<f64>,
}

impl Span {
    pub fn start(options: &Options) -> Result<Span, Failure> {
        let server = options.pid.map(CpuTime::of).transpose()?;
        Ok(Span { pid: options.pid, server, start: Instant::now() })
    }

    pub fn started_at(&self) -> Instant {
        self.start
    }

    pub fn end(self) -> Result<Measured, Failure> {
        let elapsed = self.start.elapsed();
        let server = self.pid.map(CpuTime::of).transpose()?;
        let server_seconds = server.zip(self.server).map(|(now, then)| now.since(&then));
        Ok(Measured { elapsed, server_seconds })
    }
}

impl Measured {
    /// The JSON members of every mode, and the mode's own `members`. `unit` names what was done `count` times.
    pub fn report(&self, options: &Options, unit: &str, count: u64, members: Value) -> Value {
        let seconds = self.elapsed.as_secs_f64();
        let each = |server: f64| server * 1e6 / count as f64;
        let units = unit.strip_suffix('y').map_or_else(|| format!("{unit}s"), |stem| format!("{stem}ies"));
        let mut report = Map::from_iter([
            ("connections".to_owned(), options.connections.into()),
            ("seconds".to_owned(), seconds.into()),
            (format!("{units}_per_second"), json!(count as f64 / seconds)),
            (units, count.into()),
            (format!("server_cpu_microseconds_per_{unit}"), json!(self.server_seconds.map(each))),
            ("server_cpu_percent".to_owned(), json!(self.server_seconds.map(|server| server / seconds * 100.0))),
        ]);
        if let Value::Object(members) = members {
            report.extend(members);
        }
        Value::Object(report)
    }
}
