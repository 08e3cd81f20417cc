//! What is measured, one after the other.

use crate::gateway::Gateway;
use crate::kernel::{Kernel, cpu_seconds, resident_bytes};
use crate::load::{Load, Share};
use crate::report::Report;
use std::thread;
use std::time::{Duration, Instant};

/// A gateway's places, of 20,000 descriptors.
const MOST_EACH: usize = 19_000;
/// How many of them are meant to be taken: the kernel doesn't spread evenly.
const MEANT_EACH: usize = 17_000;
/// Connections of a process that connects.
const MOST_HELD: usize = 18_000;
/// Such processes that open connections at once.
const OPENING: usize = 2;
/// One whole interval of pings, the default.
const INTERVAL: Duration = Duration::from_secs(30);
const SETTLING: Duration = Duration::from_secs(3);

/// Measures everything with so many connections.
pub fn measure(connections: usize, report: &mut Report) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let count = connections.div_ceil(MEANT_EACH).max(2);
    eprintln!("{count} gateways");
    let (addr, gateways) = Gateway::start_all(count, MOST_EACH, dir.path());
    thread::sleep(SETTLING);
    let (resident, kernel) = (resident(&gateways), Kernel::look());
    let began = Instant::now();
    let loads = open(connections, Share { addr, count: 0 });
    let seconds = began.elapsed().as_secs_f64();
    report.add("gateways on one port", count as f64, "processes");
    report.add("connections", connections as f64, "");
    report.add("open after", seconds, "s");
    report.add("handshakes", connections as f64 / seconds, "per s");
    thread::sleep(SETTLING);
    evenness(&gateways, connections, report);
    memory(&gateways, connections, resident, &kernel, report);
    eprintln!("one interval of {INTERVAL:?}");
    pings(&gateways, connections, report);
    let ended: usize = loads.into_iter().map(Load::end).sum();
    report.add_limited("connections ended by a gateway", ended as f64, "connections", 0.0);
}

/// Opens all connections from as many processes as it takes, a few of them at a time.
fn open(connections: usize, share: Share) -> Vec<Load> {
    let processes = connections.div_ceil(MOST_HELD).max(OPENING);
    let mut loads = Vec::new();
    let mut number = 0;
    while number < processes {
        let few = number..processes.min(number + OPENING);
        number = few.end;
        let part = |end: usize| connections * end / processes;
        let mut opening: Vec<Load> =
            few.map(|number| Load::start(&Share { count: part(number + 1) - part(number), ..share })).collect();
        opening.iter_mut().for_each(Load::wait);
        loads.append(&mut opening);
        eprintln!("{} connections", part(number));
    }
    loads
}

fn resident(gateways: &[Gateway]) -> f64 {
    gateways.iter().map(|gateway| resident_bytes(gateway.process())).sum()
}

/// How evenly the kernel spreads connections over the processes, beside throwing dice.
fn evenness(gateways: &[Gateway], connections: usize, report: &mut Report) {
    let counts: Vec<f64> = gateways.iter().map(|gateway| gateway.clients() as f64).collect();
    let (all, processes) = (counts.iter().sum::<f64>(), counts.len() as f64);
    report.add_limited("connections that no gateway has", connections as f64 - all, "connections", 0.0);
    let mean = all / processes;
    let deviation = (counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / processes).sqrt();
    report.add("connections of a process: mean", mean, "connections");
    report.add("connections of a process: fewest", counts.iter().copied().fold(f64::INFINITY, f64::min), "connections");
    report.add("connections of a process: most", counts.iter().copied().fold(0.0, f64::max), "connections");
    report.add("connections of a process: standard deviation", deviation, "connections");
    report.add("standard deviation of dice", (mean * (1.0 - 1.0 / processes)).sqrt(), "connections");
}

fn memory(gateways: &[Gateway], connections: usize, resident_before: f64, before: &Kernel, report: &mut Report) {
    let (now, each) = (Kernel::look(), |bytes: f64| bytes / connections as f64);
    report.add("resident for each connection", each(resident(gateways) - resident_before), "bytes");
    report.add(
        "TCP sockets of the machine for each, 2 if nobody else's come or go",
        each(now.tcp_sockets - before.tcp_sockets),
        "sockets",
    );
    report.add("kernel slab for each, both ends", each(now.slab - before.slab), "bytes");
    report.add("kernel socket buffers for each, both ends", each(now.tcp_buffers - before.tcp_buffers), "bytes");
    report.add("memory of the machine for each, clients too", each(before.available - now.available), "bytes");
}

/// CPU of all gateways over one interval.
fn pings(gateways: &[Gateway], connections: usize, report: &mut Report) {
    let cpu = || gateways.iter().map(|gateway| cpu_seconds(gateway.process())).sum::<f64>();
    let count = |name: &str| -> f64 {
        gateways.iter().map(|gateway| gateway.status()["heartbeat"][name].as_f64().expect("a count")).sum()
    };
    let (pings, pongs) = (count("pings_sent"), count("pongs_received"));
    let (before, began) = (cpu(), Instant::now());
    thread::sleep(INTERVAL);
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu() - before);
    let (pings, pongs) = (count("pings_sent") - pings, count("pongs_received") - pongs);
    let expected = connections as f64 * seconds / INTERVAL.as_secs_f64();
    report.add(format!("pings in {seconds:.0} s"), pings, "pings");
    report.add("pongs meanwhile", pongs, "pongs");
    report.add_limited("pings, off what is expected", (pings - expected).abs() / expected * 100.0, "%", 5.0);
    report.add("CPU of all gateways meanwhile", cpu / seconds * 100.0, "% of a core");
    report.add("CPU for each ping and its pong", cpu / pings * 1e6, "us");
}
