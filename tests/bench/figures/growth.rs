//! Whether memory and CPU time for each connection and message depend on the number of connections.

use crate::load::{self, number};
use crate::plan::Plan;
use crate::programs::Programs;
use crate::report::{Bound, Report, Row, median};
use crate::servers::{Kind, Protocol, Server};

/// Percent by which the largest figure may exceed the smallest.
const BOUND: Bound = Bound::AtMost(10.0);

/// Connections that exchange messages and close before memory is measured: memory that is taken once isn't growth.
const WARMUP_CONNECTIONS: usize = 100;

/// One figure at each number of connections.
struct Curve {
    figure: &'static str,
    unit: &'static str,
    /// Samples of each number of connections.
    samples: Vec<Vec<f64>>,
}

/// Measures each number of connections, round by round.
///
/// # Errors
/// The server's or the load generator's.
pub fn run(plan: &Plan, programs: &Programs, report: &mut Report) -> Result<(), String> {
    let curve = |figure, unit| Curve { figure, unit, samples: vec![Vec::new(); plan.growth.len()] };
    let mut memory = curve("resident for each connection", "bytes");
    let mut cpu = curve("CPU for each message of 64 bytes", "µs");
    // Single rounds differ by more than the bound.
    let rounds = 2 * plan.rounds;
    for round in 1..=rounds {
        eprintln!("growth ({round} of {rounds})");
        for (index, connections) in plan.growth.iter().enumerate() {
            // Memory varies little.
            if round == 1 {
                memory.samples[index].push(bytes_per_connection(*connections, programs)?);
            }
            cpu.samples[index].push(cpu_per_message(*connections, plan, programs)?);
        }
    }
    memory.add_to(report, &plan.growth, Some(BOUND));
    // The quick run's short rounds differ by more than the bound.
    cpu.add_to(report, &plan.growth, (!plan.quick).then_some(BOUND));
    Ok(())
}

fn bytes_per_connection(connections: usize, programs: &Programs) -> Result<f64, String> {
    let server = Server::start(Kind::Gateway, programs, Protocol::Rpc, false)?;
    let warmup = format!("--warmup 0 --seconds 0.1 --connections {WARMUP_CONNECTIONS}");
    load::run(programs, &server, "echo", &warmup)?;
    let result = load::run(programs, &server, "hold", &format!("--seconds 0 --connections {connections}"))?;
    number(&result, "/resident_bytes_per_connection")
}

fn cpu_per_message(connections: usize, plan: &Plan, programs: &Programs) -> Result<f64, String> {
    let server = Server::start(Kind::Gateway, programs, Protocol::Echo, false)?;
    let options = format!("--warmup 1 --seconds {} --connections {connections}", plan.seconds);
    number(&load::run(programs, &server, "echo", &options)?, "/server_cpu_microseconds_per_message")
}

impl Curve {
    fn add_to(&self, report: &mut Report, connections: &[usize], bound: Option<Bound>) {
        for (count, samples) in connections.iter().zip(&self.samples) {
            let figure = format!("{}, {count} connections", self.figure);
            report.add(Row::of_gateway("growth", figure, self.unit, samples.clone()));
        }
        let medians: Vec<f64> = self.samples.iter().filter_map(|samples| median(samples)).collect();
        let smallest = medians.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = medians.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let growth = (largest / smallest - 1.0) * 100.0;
        let figure = format!("{}, largest over smallest", self.figure);
        report.add(Row { bound, ..Row::of_gateway("growth", figure, "%", vec![growth]) });
    }
}
