//! Echo and pipelined: every connection has a batch of messages outstanding, and sends the next one when all are
//! answered. Echo is a batch of one.

use super::{OPENING, report};
use crate::args::Options;
use crate::connection::Handler;
use crate::crowd::{Crowd, MOMENT};
use crate::failure::Failure;
use crate::frame::Part;
use crate::histogram::Histogram;
use crate::json::Json;
use crate::messages::{Answers, Batch, FIRST_ID};
use crate::patience::Patience;
use crate::peer::Peer;
use crate::span::{Measured, Span};
use std::time::{Duration, Instant};

/// Opens, warms up, measures.
pub fn run(options: &Options) -> Result<Json, Failure> {
    let mut crowd = Crowd::new(options, options.connections)?;
    let mut exchange = Exchange::new(options);
    crowd.open_all(0..options.connections, OPENING, &mut exchange)?;
    for id in 0..options.connections {
        if let Some(mut peer) = crowd.peer(id) {
            exchange.send(&mut peer)?;
        }
    }
    exchange.go_on(&mut crowd, options.patience, Instant::now() + options.warmup)?;
    let span = Span::begin(options)?;
    exchange.measure_from(span.began());
    let polls = crowd.tally;
    exchange.go_on(&mut crowd, options.patience, span.began() + options.seconds)?;
    let measured = span.end()?;
    if exchange.answered == 0 {
        return Err(Failure::Run(format!("no message was answered within {} s", measured.elapsed.as_secs_f64())));
    }
    let (polls, empty) = (crowd.tally.polls - polls.polls, crowd.tally.empty_polls - polls.empty_polls);
    let mut json = exchange.report(options, &measured);
    json.add("client_empty_polls_percent", empty as f64 / polls as f64 * 100.0);
    measured.add_to(&mut json, Some(("message", exchange.answered)));
    Ok(json)
}

/// What one connection waits for.
struct Lane {
    sent: Instant,
    outstanding: usize,
    answers: Answers,
}

struct Exchange {
    batch: Batch,
    depth: usize,
    lanes: Vec<Lane>,
    next_id: u64,
    /// Answers since the measuring began.
    answered: u64,
    latencies: Histogram,
    /// Messages that were sent earlier have no latency worth counting.
    from: Option<Instant>,
}

impl Exchange {
    fn new(options: &Options) -> Exchange {
        let lane = || Lane { sent: Instant::now(), outstanding: 0, answers: Answers::default() };
        Exchange {
            batch: Batch::new(options.depth, options.size, options.rpc),
            depth: options.depth,
            lanes: (0..options.connections).map(|_| lane()).collect(),
            next_id: FIRST_ID,
            answered: 0,
            latencies: Histogram::new(),
            from: None,
        }
    }

    fn measure_from(&mut self, from: Instant) {
        self.from = Some(from);
        self.answered = 0;
    }

    fn go_on(&mut self, crowd: &mut Crowd, patience: Duration, until: Instant) -> Result<(), Failure> {
        let mut patience = Patience::new(patience);
        while Instant::now() < until {
            crowd.step(MOMENT, self)?;
            // Bytes count as progress: a large answer takes its time.
            patience.check(crowd.tally.bytes, || format!("answers on {} connections", crowd.tally.open))?;
        }
        Ok(())
    }

    fn send(&mut self, peer: &mut Peer<'_>) -> Result<(), Failure> {
        let lane = &mut self.lanes[peer.id];
        (lane.sent, lane.outstanding, lane.answers.next_id) = (peer.now, self.depth, self.next_id);
        self.next_id += self.depth as u64;
        peer.send(self.batch.frames(lane.answers.next_id))
    }

    fn report(&self, options: &Options, measured: &Measured) -> Json {
        let mut json = report(options, measured.elapsed);
        json.add("size", options.size);
        json.add("depth", options.depth);
        json.add("rpc", options.rpc);
        json.add("messages", self.answered);
        json.add("messages_per_second", self.answered as f64 / measured.elapsed.as_secs_f64());
        json.add("latency_samples", self.latencies.count());
        json.add("latency_microseconds", self.latencies.to_json());
        json
    }
}

impl Handler for Exchange {
    fn data(&mut self, peer: &mut Peer<'_>, part: Part<'_>) -> Result<(), Failure> {
        let lane = &mut self.lanes[peer.id];
        if lane.outstanding == 0 {
            return Err(Failure::Run(format!("connection {}: an answer to nothing", peer.id)));
        }
        let whole = self.batch.check(&mut lane.answers, part);
        if !whole.map_err(|failure| Failure::doing(&format!("connection {}", peer.id), failure))? {
            return Ok(());
        }
        self.answered += 1;
        lane.outstanding -= 1;
        if self.from.is_some_and(|from| lane.sent >= from) {
            self.latencies.record(peer.now - lane.sent);
        }
        if lane.outstanding == 0 { self.send(peer) } else { Ok(()) }
    }
}
