//! The workloads: what the servers are made to do, which figures are taken, and their bounds.

use crate::plan::Plan;
use crate::report::Bound::{self, AtLeast, AtMost};
use crate::servers::Kind::{self, Channel, Fast, Floor, Gateway, Nats, Nchan, Predecessor};
use crate::servers::Protocol::{self, Echo, Rpc};
use serde_json::Value;

/// One run of the load generator, repeated for each server and round.
pub struct Workload {
    pub name: String,
    pub protocol: Protocol,
    /// Whether the servers ping their clients every three seconds.
    pub pings: bool,
    pub mode: &'static str,
    /// Its options, beyond those for connections.
    pub options: String,
    pub connections: usize,
    /// The servers, in the order in which they run.
    pub servers: Vec<Kind>,
    pub rounds: usize,
    /// The numbers that are taken from the load generator's report.
    pub figures: Vec<Figure>,
}

/// One number of the load generator's report.
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    /// Where it is, as a JSON pointer (RFC 6901).
    pub pointer: &'static str,
    /// The report has microseconds per operation, the figure is operations per second.
    pub is_rate: bool,
    /// Bounds: on the gateway's own figure, or on its ratio to another server's.
    pub bounds: Vec<(Kind, Bound)>,
}

impl Figure {
    fn new(name: &'static str, unit: &'static str, pointer: &'static str) -> Self {
        Figure { name, unit, pointer, is_rate: false, bounds: Vec::new() }
    }

    fn bound(mut self, kind: Kind, bound: Bound) -> Self {
        self.bounds.push((kind, bound));
        self
    }

    pub fn value(&self, report: &Value) -> Option<f64> {
        let number = report.pointer(self.pointer)?.as_f64()?;
        let value = if self.is_rate { 1e6 / number } else { number };
        value.is_finite().then_some(value)
    }

    pub fn bound_for(&self, kind: Kind) -> Option<Bound> {
        self.bounds.iter().find(|(of, _)| *of == kind).map(|(_, bound)| *bound)
    }
}

/// All workloads, in the order in which they run.
pub fn all(plan: &Plan) -> Vec<Workload> {
    let mut workloads = vec![idle(plan), at_once(plan)];
    workloads.extend([100, 1000].map(|connections| echo(plan, connections)));
    workloads.extend([rpc_echo(plan), pipelined_echo(plan), fanout(plan)]);
    workloads.extend([events(plan, plan.receivers, 1), events(plan, plan.event_burst, plan.event_burst)]);
    workloads.push(handshakes(plan));
    workloads.push(pings(plan));
    for workload in &mut workloads {
        workload.servers.retain(|kind| kind.is_available());
    }
    workloads
}

/// The gateway's throughput relative to the floor's: authentication, limits and bookkeeping may cost 5 %.
const ECHO_BOUND: Bound = AtLeast(0.95);
/// The gateway's CPU time for each delivery, relative to the floor's.
const DELIVERY_BOUND: Bound = AtMost(1.15);
/// The gateway's CPU time for each handshake, relative to the floor's, which doesn't authenticate.
const HANDSHAKE_BOUND: Bound = AtMost(1.5);
/// The gateway's memory for each connection, relative to that of other products.
const IDLE_BOUND: Bound = AtMost(0.25);

const RESIDENT: &str = "/resident_bytes_per_connection";

/// A workload that holds connections and measures memory, once.
fn held(name: String, protocol: Protocol, connections: usize, options: &str, servers: &[Kind]) -> Workload {
    Workload {
        name,
        protocol,
        pings: false,
        mode: "hold",
        options: format!("--seconds 0 {options}"),
        connections,
        servers: servers.to_vec(),
        rounds: 1,
        figures: Vec::new(),
    }
}

fn idle(plan: &Plan) -> Workload {
    let servers: &[Kind] =
        if plan.quick { &[Gateway, Floor, Nchan, Nats] } else { &[Gateway, Floor, Fast, Predecessor, Nchan, Nats] };
    let before = Figure::new("resident without connections", "bytes", "/resident_bytes_before");
    let resident = Figure::new("resident for each", "bytes", RESIDENT)
        .bound(Gateway, AtMost(1500.0))
        .bound(Nats, IDLE_BOUND)
        .bound(Nchan, IDLE_BOUND);
    let kept = Figure::new("resident after closing", "bytes", "/resident_bytes_per_connection_after_closing");
    let workload = held(format!("{} idle connections", plan.held), Rpc, plan.held, "", servers);
    Workload { figures: vec![before, resident, kept], ..workload }
}

/// The servers of further workloads on memory.
fn memory_servers(plan: &Plan) -> &'static [Kind] {
    if plan.quick { &[Gateway] } else { &[Gateway, Floor, Fast, Predecessor] }
}

fn at_once(plan: &Plan) -> Workload {
    let name = format!("{} connections opened at once", plan.at_once);
    let resident = Figure::new("resident for each", "bytes", RESIDENT).bound(Gateway, AtMost(2000.0));
    let opened = Figure::new("until all were open", "s", "/opened_in_seconds");
    let workload = held(name, Rpc, plan.at_once, "--at-once", memory_servers(plan));
    Workload { figures: vec![resident, opened], ..workload }
}

/// A workload that measures messages or handshakes over a time, in several rounds.
fn timed(plan: &Plan, name: String, protocol: Protocol, mode: &'static str, connections: usize) -> Workload {
    let servers: &[Kind] =
        if plan.quick { &[Gateway, Floor, Predecessor] } else { &[Gateway, Floor, Fast, Predecessor] };
    let options = format!("--warmup {} --seconds {}", plan.warmup, plan.seconds);
    let (servers, rounds, figures) = (servers.to_vec(), plan.rounds, Vec::new());
    Workload { name, protocol, pings: false, mode, options, connections, servers, rounds, figures }
}

/// The figures of echoes. Throughput is compared per CPU second of the server: for a server with a core to itself that
/// is the throughput per second, and it stays meaningful when other programs use the core.
fn echo_figures(bounds: &[(Kind, Bound)], p99_bounds: &[(Kind, Bound)]) -> Vec<Figure> {
    let by_cpu = Figure::new("messages per CPU second", "", "/server_cpu_microseconds_per_message");
    let p99 = Figure::new("latency, p99", "µs", "/latency_microseconds/p99");
    vec![
        Figure { is_rate: true, bounds: bounds.to_vec(), ..by_cpu },
        Figure::new("messages per second", "", "/messages_per_second"),
        Figure { bounds: p99_bounds.to_vec(), ..p99 },
    ]
}

fn echo(plan: &Plan, connections: usize) -> Workload {
    let name = format!("echo of 64 bytes on {connections} connections");
    // A tokio worker's local queue holds 256 tasks: only with more connections can some clients be served less often.
    let p99_bounds: &[_] = if connections == 1000 { &[(Predecessor, AtMost(0.5))] } else { &[] };
    Workload {
        rounds: plan.floor_rounds,
        figures: echo_figures(&[(Floor, ECHO_BOUND)], p99_bounds),
        ..timed(plan, name, Echo, "echo", connections)
    }
}

fn rpc_echo(plan: &Plan) -> Workload {
    let workload = timed(plan, "JSON-RPC echo on 100 connections".to_owned(), Rpc, "echo", 100);
    Workload { servers: vec![Gateway], figures: echo_figures(&[], &[]), ..workload }
}

fn pipelined_echo(plan: &Plan) -> Workload {
    let name = "echo of 64 bytes, 16 at a time on 100 connections".to_owned();
    let mut workload = timed(plan, name, Echo, "echo", 100);
    workload.options += " --depth 16";
    Workload { figures: echo_figures(&[], &[]), ..workload }
}

fn fanout(plan: &Plan) -> Workload {
    let name = format!("broadcast of 64 bytes to {} clients", plan.receivers);
    let servers: &[Kind] =
        if plan.quick { &[Gateway, Floor, Nchan, Nats] } else { &[Gateway, Floor, Fast, Predecessor, Nchan, Nats] };
    let cpu = Figure::new("CPU for each delivery", "µs", "/server_cpu_microseconds_per_delivery")
        .bound(Floor, DELIVERY_BOUND)
        .bound(Nats, AtMost(1.0));
    let round = Figure::new("until all have received it", "µs", "/round_microseconds/median");
    Workload {
        options: format!("--rounds {}", plan.broadcasts),
        rounds: plan.floor_rounds,
        servers: servers.to_vec(),
        figures: vec![cpu, round],
        ..timed(plan, name, Echo, "fanout", plan.receivers)
    }
}

/// Events on a topic, `burst` at once, compared with the predecessor's design for them.
fn events(plan: &Plan, subscribers: usize, burst: usize) -> Workload {
    let what = if burst == 1 { "an event".to_owned() } else { format!("{burst} events at once") };
    let name = format!("{what} of 64 bytes to {subscribers} subscribers");
    // One burst is already `burst` times `subscribers` deliveries.
    let broadcasts = if burst == 1 { plan.broadcasts } else { 1 };
    let cpu = Figure::new("CPU for each delivery", "µs", "/server_cpu_microseconds_per_delivery");
    let round = Figure::new("until all have received all", "µs", "/round_microseconds/median");
    Workload {
        options: format!("--depth {burst} --rounds {broadcasts}"),
        servers: vec![Gateway, Channel],
        figures: vec![
            cpu.bound(Channel, AtMost(1.0)),
            round.bound(Channel, AtMost(1.0)),
            Figure::new("deliveries per second", "", "/deliveries_per_second"),
        ],
        ..timed(plan, name, Rpc, "fanout", subscribers)
    }
}

fn handshakes(plan: &Plan) -> Workload {
    let workload = timed(plan, "connect, handshake, close".to_owned(), Rpc, "handshake", 32);
    let cpu = Figure::new("CPU per handshake", "µs", "/server_cpu_microseconds_per_handshake");
    let rate = Figure::new("handshakes per second", "", "/handshakes_per_second");
    Workload { rounds: plan.floor_rounds, figures: vec![cpu.bound(Floor, HANDSHAKE_BOUND), rate], ..workload }
}

/// The load generator sleeps here while nothing happens, so that waking it is part of each ping's cost.
fn pings(plan: &Plan) -> Workload {
    let name = format!("pings every 3 s to {} connections", plan.held);
    let cpu = Figure::new("CPU per ping and pong", "µs", "/server_cpu_microseconds_per_ping");
    // Three seconds is the interval of the pings.
    let rate = Figure::new("pings per second", "", "/pings_per_second")
        .bound(Gateway, AtLeast((0.95 / 3.0 * plan.held as f64).floor()));
    let lost = Figure::new("connections lost", "", "/lost").bound(Gateway, AtMost(0.0));
    Workload {
        pings: true,
        options: format!("--seconds {}", plan.ping_time.as_secs()),
        // The quick run has no time for the others.
        servers: if plan.quick { vec![Gateway] } else { vec![Gateway, Floor, Predecessor] },
        // A round takes a minute.
        rounds: if plan.quick { 1 } else { 2 },
        figures: vec![cpu.bound(Floor, DELIVERY_BOUND), rate, lost],
        ..timed(plan, name, Rpc, "hold", plan.held)
    }
}
