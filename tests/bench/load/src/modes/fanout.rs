//! Fan-out: all connections but one subscribe, that one publishes, and a round ends when each subscriber has received
//! every message.

use crate::connection::Handler;
use crate::connections::{Connections, HANDSHAKES_IN_FLIGHT, MAX_SLEEP};
use crate::dialect::{PubSub, Received};
use crate::failure::Failure;
use crate::options::Options;
use crate::peer::Peer;
use crate::span::Span;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Single messages that are published before the measured part.
const WARMUP_ROUNDS: usize = 2;

/// Opens, subscribes, publishes a few messages to warm up, measures.
pub fn run(options: &Options) -> Result<Value, Failure> {
    let publisher = options.connections;
    let mut connections = Connections::new(options, publisher + 1)?;
    let mut fanout = Fanout::new(options);
    connections.open_all(0..publisher, HANDSHAKES_IN_FLIGHT, &mut fanout)?;
    connections.set_path(options.publish_path.as_deref().unwrap_or(&options.path));
    connections.open_all(publisher..publisher + 1, 1, &mut fanout)?;
    fanout.wait(&mut connections)?;
    for _ in 0..WARMUP_ROUNDS {
        fanout.round(&mut connections, 1)?;
    }
    let before = fanout.delivered;
    let span = Span::start(options)?;
    let mut times = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        times.push(fanout.round(&mut connections, options.depth)?);
    }
    let measured = span.end()?;
    times.sort();
    let microseconds = |time: Duration| time.as_nanos() as f64 / 1e3;
    let members = json!({ "round_microseconds": { "median": microseconds(times[times.len() / 2]) } });
    Ok(measured.report(options, "delivery", fanout.delivered - before, members))
}

struct Fanout {
    pubsub: PubSub,
    /// Index of the publisher's connection, which is the last one.
    publisher: usize,
    /// Messages that each connection has received so far.
    received: Vec<u64>,
    /// Messages published so far, including those of the current round.
    published: u64,
    /// Messages and confirmations that the round still waits for.
    missing: usize,
    delivered: u64,
    /// When the latest message was received.
    last: Instant,
}

impl Fanout {
    fn new(options: &Options) -> Fanout {
        let publisher = options.connections;
        Fanout {
            pubsub: PubSub::new(options, publisher + 1),
            publisher,
            received: vec![0; publisher + 1],
            published: 0,
            missing: 0,
            delivered: 0,
            last: Instant::now(),
        }
    }

    /// Publishes `count` messages, and returns how long it took until all were received.
    fn round(&mut self, connections: &mut Connections, count: usize) -> Result<Duration, Failure> {
        let confirmations = usize::from(self.pubsub.is_publication_confirmed());
        let receivers = self.publisher + usize::from(self.pubsub.publisher_receives());
        self.missing = count * (receivers + confirmations);
        self.published += count as u64;
        let frames = if count == 1 { self.pubsub.single_publication() } else { self.pubsub.publication() };
        let start = Instant::now();
        connections.peer(self.publisher)?.send(frames)?;
        self.wait(connections)?;
        Ok(self.last - start)
    }

    fn wait(&mut self, connections: &mut Connections) -> Result<(), Failure> {
        while self.missing > 0 {
            connections.step(MAX_SLEEP, self)?;
        }
        Ok(())
    }
}

impl Handler for Fanout {
    fn opened(&mut self, peer: &mut Peer<'_>) -> Result<(), Failure> {
        let is_publisher = peer.id == self.publisher;
        let greeting = if is_publisher { self.pubsub.publisher_greeting() } else { self.pubsub.subscription() };
        let Some(frame) = greeting else { return Ok(()) };
        self.missing += 1;
        peer.send(&frame)
    }

    fn message(&mut self, peer: &mut Peer<'_>, payload: &[u8], is_text: bool) -> Result<(), Failure> {
        let Fanout { pubsub, received, published, missing, delivered, last, .. } = self;
        let id = peer.id;
        let fail = |what: &str| Err(Failure(format!("connection {id}: {what}")));
        let result = pubsub.receive(id, payload, is_text, |item| {
            match item {
                Received::Reply(frame) => return peer.send(frame),
                Received::Confirmation => {}
                Received::Event(seq) if seq != received[id] + 1 => return fail("an event out of order"),
                Received::Event(_) | Received::Payload if received[id] == *published => {
                    return fail("a message that wasn't published, or that has arrived before");
                }
                Received::Event(_) | Received::Payload => {
                    received[id] += 1;
                    *delivered += 1;
                }
            }
            match missing.checked_sub(1) {
                Some(rest) => (*missing, *last) = (rest, peer.now),
                None => return fail("an unexpected confirmation"),
            }
            Ok(())
        });
        result.map_err(|failure| Failure::of(format!("connection {id}"), failure))
    }
}
