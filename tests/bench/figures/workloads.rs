//! What all servers are made to do, what is measured of it, and how the gateway has to stand.

use crate::plan::Plan;
use crate::report::Must::{self, AtLeast, AtMost};
use crate::servers::Kind::{self, Channel, Fast, Floor, Gateway, Predecessor, Sends};
use crate::servers::Speaks::{self, Raw, Rpc};
use serde_json::Value;

/// A kind of work: one run of the load generator, done by one server after the other, round by round.
pub struct Work {
    /// As it is called in the report.
    pub name: String,
    /// What the servers are started to speak.
    pub speaks: Speaks,
    /// Whether they ping their clients, every three seconds.
    pub pings: bool,
    /// The load generator's mode,
    pub mode: &'static str,
    /// and its options, beside those for connections.
    pub options: Vec<String>,
    /// Connections at once.
    pub connections: usize,
    /// The same for servers that are interpreted, if they are to have fewer.
    pub for_scripts: usize,
    /// Who does it.
    pub servers: Vec<Kind>,
    /// How often.
    pub rounds: usize,
    /// What is looked at in the load generator's answer.
    pub figures: Vec<Figure>,
}

/// One number of the load generator's answer.
pub struct Figure {
    /// As it is called in the report.
    pub name: &'static str,
    /// In what.
    pub unit: &'static str,
    /// Where it is, as a JSON pointer (RFC 6901).
    pub pointer: &'static str,
    /// What is there is the time of one, in microseconds, and the figure is how many a second has.
    pub is_inverse: bool,
    /// What it has to be for the gateway, or what the gateway's has to be to that of another server.
    pub musts: Vec<(Kind, Must)>,
}

impl Figure {
    fn new(name: &'static str, unit: &'static str, pointer: &'static str) -> Self {
        Figure { name, unit, pointer, is_inverse: false, musts: Vec::new() }
    }

    fn must(mut self, kind: Kind, must: Must) -> Self {
        self.musts.push((kind, must));
        self
    }

    /// Its value in an answer.
    pub fn value(&self, answer: &Value) -> Option<f64> {
        let number = answer.pointer(self.pointer)?.as_f64()?;
        let number = if self.is_inverse { 1e6 / number } else { number };
        number.is_finite().then_some(number)
    }

    /// What has to be for this server.
    pub fn must_of(&self, kind: Kind) -> Option<Must> {
        self.musts.iter().find(|(of, _)| *of == kind).map(|(_, must)| *must)
    }
}

/// All kinds, in the order in which they are done.
pub fn all(plan: &Plan) -> Vec<Work> {
    let mut works = memory(plan);
    works.extend([100, 1000].map(|connections| echo(plan, connections)));
    works.extend([rpc(plan), pipelined(plan), fanout(plan)]);
    works.extend([events(plan, plan.fan, 1), events(plan, plan.events, plan.events), handshakes(plan)]);
    // The short run has no time for it.
    works.extend((!plan.quick).then(|| pings(plan)));
    works
}

/// A work that takes a time, and is done in several rounds.
fn timed(plan: &Plan, name: String, speaks: Speaks, mode: &'static str, connections: usize) -> Work {
    let (servers, options) = (plan.servers.clone(), words("--busy"));
    let (rounds, figures) = (plan.rounds, Vec::new());
    Work { name, speaks, pings: false, mode, options, connections, for_scripts: connections, servers, rounds, figures }
}

fn memory(plan: &Plan) -> Vec<Work> {
    let work = |name: String, speaks, mode, connections: usize, options, figures| {
        // Idle connections are asked of everybody; for the rest, interpreters would take most of the time, and the
        // short run leaves it at the predecessor.
        let is_first = mode == "idle" && speaks == Rpc;
        let is_asked = |kind: &Kind| match plan.quick {
            _ if is_first => true,
            true => matches!(kind, Gateway | Predecessor),
            false => !kind.is_script(),
        };
        let servers = plan.servers.iter().copied().filter(is_asked).collect();
        let for_scripts = plan.many_for_scripts.min(connections);
        let (pings, options, rounds) = (false, words(options), 1);
        Work { name, speaks, pings, mode, options, connections, for_scripts, servers, rounds, figures }
    };
    let each = |limit| Figure::new("resident for each", "bytes", EACH).must(Gateway, AtMost(limit));
    let kept = Figure::new("kept for each, all gone", "bytes", KEPT);
    let (many, storm, large) = (plan.many, plan.storm, plan.large);
    vec![
        work(format!("{many} idle connections"), Rpc, "idle", many, "--seconds 0", vec![each(1500.0), kept]),
        work(
            format!("{storm} connections that all came at once"),
            Rpc,
            "storm",
            storm,
            "--seconds 0",
            vec![each(2000.0), Figure::new("until all were open", "s", "/opened_in_seconds")],
        ),
        work(
            format!("{large} connections, after a message of 256 KiB to each"),
            Raw,
            "idle",
            large,
            "--seconds 0 --message 262144",
            vec![each(2000.0)],
        ),
        work(format!("{many} silent connections"), Rpc, "silent", many, "--seconds 0", vec![each(1200.0)]),
    ]
}

/// Bytes for each connection while all are there, and after all have left.
const EACH: &str = "/resident_bytes_per_connection";
const KEPT: &str = "/resident_bytes_per_connection_after_leaving";

/// What is looked at where messages are answered; `musts` are for how many, `p99` is for how long one takes.
///
/// They are for how many in each second of CPU that the server used: with a core to itself that is the same as in each
/// second, and when others run on that core too, it still tells of the server.
fn messages(musts: &[(Kind, Must)], p99: Vec<(Kind, Must)>) -> Vec<Figure> {
    let by_cpu = Figure::new("messages, in a second of its CPU", "", "/server_cpu_microseconds_per_message");
    vec![
        Figure { is_inverse: true, musts: musts.to_vec(), ..by_cpu },
        Figure::new("messages, in a second", "", "/messages_per_second"),
        Figure { musts: p99, ..Figure::new("time of one, p99", "µs", "/latency_microseconds/p99") },
    ]
}

fn echo(plan: &Plan, connections: usize) -> Work {
    let least = if connections == 100 { 1.5 } else { 2.8 };
    let name = format!("echo of 64 bytes, {connections} connections");
    let mut work = timed(plan, name, Raw, "echo", connections);
    // How they compare with the others is seen at the first.
    work.servers.retain(|kind| connections == 100 || !kind.is_script());
    work.options.extend(words(&format!("--size 64 --warmup {} --seconds {}", plan.warmup, plan.span)));
    // A thousand are more than a worker's queue holds: nobody is to wait while others have their second turn.
    let p99 = if connections == 1000 { vec![(Predecessor, AtMost(0.5))] } else { Vec::new() };
    work.figures = messages(&[(Predecessor, AtLeast(least)), (Fast, AtLeast(0.9))], p99);
    work
}

fn rpc(plan: &Plan) -> Work {
    let mut work = timed(plan, "gateway.echo by JSON-RPC, 100 connections".to_owned(), Rpc, "echo", 100);
    work.options.extend(words(&format!("--rpc --warmup {} --seconds {}", plan.warmup, plan.span)));
    work.figures = messages(&[(Predecessor, AtLeast(1.5))], Vec::new());
    work
}

fn pipelined(plan: &Plan) -> Work {
    let name = "echo of 64 bytes, 16 at a time on each of 100 connections".to_owned();
    let mut work = timed(plan, name, Raw, "pipelined", 100);
    work.servers.retain(|kind| !kind.is_script());
    work.options.extend(words(&format!("--size 64 --depth 16 --warmup {} --seconds {}", plan.warmup, plan.span)));
    work.figures = messages(&[(Predecessor, AtLeast(6.0))], Vec::new());
    work
}

fn fanout(plan: &Plan) -> Work {
    let mut work = timed(plan, format!("a message of 64 bytes to {} clients", plan.fan), Raw, "fanout", plan.fan);
    work.options.extend(words(&format!("--size 64 --rounds {}", plan.broadcasts)));
    // The interpreted ones would take most of the time for opening so many.
    work.servers.retain(|kind| !kind.is_script());
    work.figures = vec![
        Figure::new("until all have it", "µs", "/round_microseconds/median").must(Predecessor, AtMost(0.5)),
        Figure::new("CPU for each delivery", "µs", "/server_cpu_microseconds_per_delivery")
            .must(Predecessor, AtMost(0.5)),
    ];
    work
}

/// Events on a topic, so many at once, beside the predecessor's way with them.
fn events(plan: &Plan, subscribers: usize, at_once: usize) -> Work {
    let what = if at_once == 1 { "an event".to_owned() } else { format!("{at_once} events at once") };
    let mut work = timed(plan, format!("{what} of 64 bytes to {subscribers} subscribers"), Rpc, "events", subscribers);
    // As many deliveries either way.
    let rounds = if at_once == 1 { plan.broadcasts } else { 1 };
    work.options.extend(words(&format!("--size 64 --depth {at_once} --rounds {rounds}")));
    if at_once > 1 {
        // A million deliveries are enough.
        work.rounds = 1;
    }
    work.servers = vec![Gateway, Channel];
    work.figures = vec![
        Figure::new("until all have all", "µs", "/round_microseconds/median").must(Channel, AtMost(1.0)),
        Figure::new("deliveries, in a second", "", "/deliveries_per_second"),
        Figure::new("CPU for each delivery", "µs", "/server_cpu_microseconds_per_delivery").must(Channel, AtMost(1.0)),
    ];
    work
}

fn handshakes(plan: &Plan) -> Work {
    let mut work = timed(plan, "connect, handshake, close".to_owned(), Rpc, "handshake", 32);
    work.options.extend(words(&format!("--warmup {} --seconds {}", plan.warmup, plan.span)));
    work.figures = vec![
        Figure::new("handshakes, in a second", "", "/handshakes_per_second"),
        Figure::new("CPU for each", "µs", "/server_cpu_microseconds_per_handshake").must(Predecessor, AtMost(0.75)),
    ];
    work
}

/// Beside those who ping by themselves, and without `--busy`: a client that has nothing to do sleeps.
fn pings(plan: &Plan) -> Work {
    let mut work =
        timed(plan, format!("{} connections, pinged every 3 s, beside others", plan.many), Rpc, "ping", plan.many);
    work.options = words(&format!("--seconds {}", plan.pinging.as_secs()));
    work.servers = vec![Gateway, Predecessor, Floor, Sends];
    // Two rounds: each is long enough, and takes a minute.
    (work.pings, work.rounds) = (true, plan.rounds.min(2));
    work.figures = vec![
        Figure::new("CPU for each ping and its pong", "µs", "/server_cpu_microseconds_per_ping")
            .must(Sends, AtMost(1.5)),
    ];
    work
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}
