//! Whether a connection and a message cost the same however many connections there are.

use crate::load;
use crate::plan::Plan;
use crate::programs::Programs;
use crate::report::{Must, Report, Row, Standing, median};
use crate::servers::{Kind, Server, Speaks};
use serde_json::Value;

/// The largest may be so many percent more than the smallest.
const FLAT: f64 = 10.0;

/// Connections that come, talk and go before memory is looked at: what is taken once and for all isn't growth.
const FIRST: usize = 100;

/// A figure at each number of connections.
struct Curve {
    figure: &'static str,
    unit: &'static str,
    must: Must,
    /// By number of connections, one sample for each round.
    samples: Vec<Vec<f64>>,
}

/// Measures at every number of connections, round by round.
///
/// # Errors
/// The server's or the load generator's.
pub fn run(plan: &Plan, programs: &Programs, report: &mut Report) -> Result<(), String> {
    let curve = |figure, unit| {
        let samples = vec![Vec::new(); plan.growth.len()];
        Curve { figure, unit, must: Must::AtMost(FLAT), samples }
    };
    let mut memory = curve("resident for each connection", "bytes");
    let mut cpu = curve("CPU for each message of 64 bytes", "µs");
    // Its bar is narrower than what rounds differ by.
    let rounds = 2 * plan.rounds;
    for round in 1..=rounds {
        eprintln!("growth ({round} of {rounds})");
        for (index, connections) in plan.growth.iter().enumerate() {
            // Memory is the same each time.
            if round == 1 {
                memory.samples[index].push(bytes_for_each(*connections, programs)?);
            }
            cpu.samples[index].push(cpu_for_each(*connections, plan, programs)?);
        }
    }
    memory.report(&plan.growth, report);
    cpu.report(&plan.growth, report);
    Ok(())
}

fn bytes_for_each(connections: usize, programs: &Programs) -> Result<f64, String> {
    let server = Server::start(Kind::Gateway, programs, Speaks::Rpc, false)?;
    let run = |mode: &str, options: &str| {
        let options: Vec<String> = options.split_ascii_whitespace().map(str::to_owned).collect();
        load::run(programs, mode, &options, server.addr, server.process())
    };
    run("echo", &format!("--rpc --warmup 0 --seconds 0.1 --connections {FIRST}"))?;
    let answer = run("idle", &format!("--seconds 0 --connections {connections}"))?;
    number(&answer, "/resident_bytes_per_connection")
}

fn cpu_for_each(connections: usize, plan: &Plan, programs: &Programs) -> Result<f64, String> {
    let server = Server::start(Kind::Gateway, programs, Speaks::Raw, false)?;
    let (connections, seconds) = (connections.to_string(), plan.span.to_string());
    let options = ["--busy", "--warmup", "1", "--seconds", &seconds, "--connections", &connections].map(str::to_owned);
    let answer = load::run(programs, "echo", &options, server.addr, server.process())?;
    number(&answer, "/server_cpu_microseconds_per_message")
}

fn number(answer: &Value, pointer: &str) -> Result<f64, String> {
    answer.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| format!("no {pointer} in {answer}"))
}

impl Curve {
    fn report(&self, connections: &[usize], report: &mut Report) {
        let row = |figure: String, unit, samples: &[f64], must| Row {
            work: "growth".to_owned(),
            figure,
            unit,
            server: "gateway".to_owned(),
            samples: samples.to_vec(),
            standing: Standing::Own,
            must,
        };
        for (count, samples) in connections.iter().zip(&self.samples) {
            report.add(row(format!("{}, {count} connections", self.figure), self.unit, samples, None));
        }
        let medians: Vec<f64> = self.samples.iter().filter_map(|samples| median(samples)).collect();
        let (least, most) = (fold(&medians, f64::min), fold(&medians, f64::max));
        let growth = (most / least - 1.0) * 100.0;
        report.add(row(format!("{}, most over least", self.figure), "%", &[growth], Some(self.must)));
    }
}

fn fold(numbers: &[f64], fold: fn(f64, f64) -> f64) -> f64 {
    numbers.iter().copied().reduce(fold).unwrap_or(f64::NAN)
}
