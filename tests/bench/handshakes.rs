//! Handshakes per second, beside those of a minimal server of the same WebSocket library.

use crate::Plan;
use crate::crowd::{open, runtime};
use crate::gateway::{Gateway, NO_PINGS};
use crate::peer::Peer;
use crate::process::Process;
use crate::report::Report;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Loops of connect, upgrade and close at once.
const LOOPS: usize = 64;

#[derive(Default)]
struct Score {
    handshakes: f64,
    seconds: f64,
    cpu_seconds: f64,
}

impl Score {
    fn per_second(&self) -> f64 {
        self.handshakes / self.seconds
    }

    fn cpu_microseconds(&self) -> f64 {
        self.cpu_seconds / self.handshakes * 1e6
    }

    fn take_turn(&mut self, process: &Process, addr: SocketAddr, time: Duration) {
        let (cpu, began) = (process.cpu_seconds(), Instant::now());
        self.handshakes += shake_hands(addr, time) as f64;
        self.seconds += began.elapsed().as_secs_f64();
        self.cpu_seconds += process.cpu_seconds() - cpu;
    }
}

/// Lets both servers have two turns each, so that what else the machine does is shared out.
pub fn compare(plan: &Plan, report: &mut Report) {
    let (gateway, peer) = (Gateway::start(NO_PINGS), Peer::start());
    let (mut ours, mut theirs) = (Score::default(), Score::default());
    for _ in 0..2 {
        ours.take_turn(gateway.process(), gateway.addr(), plan.shaking);
        theirs.take_turn(peer.process(), peer.addr(), plan.shaking);
    }
    gateway.wait_for_clients(0);
    let status = gateway.status();
    let abnormal = status["closed_total"]["abnormal"].as_f64().expect("a count");
    report.add("handshakes", ours.per_second(), "per s");
    report.add("CPU for each connect, handshake and close", ours.cpu_microseconds(), "us");
    report.add_limited("of them ended abnormally", abnormal, "connections", 0.0);
    report.add("the peer's handshakes", theirs.per_second(), "per s");
    report.add("the peer's CPU for each", theirs.cpu_microseconds(), "us");
    report.add("handshakes per second, to the peer's", ours.per_second() / theirs.per_second(), "ratio");
    report.add("CPU for each, to the peer's", ours.cpu_microseconds() / theirs.cpu_microseconds(), "ratio");
}

/// How many handshakes were done in this time, each with a clean end.
fn shake_hands(addr: SocketAddr, time: Duration) -> usize {
    let deadline = Instant::now() + time;
    runtime().block_on(async {
        let mut loops = JoinSet::new();
        for number in 0..LOOPS {
            loops.spawn(async move {
                let mut done = 0;
                while Instant::now() < deadline {
                    let client = open(addr, number).await.expect("a handshake");
                    client.close().await.expect("a clean end");
                    done += 1;
                }
                done
            });
        }
        loops.join_all().await.into_iter().sum()
    })
}
