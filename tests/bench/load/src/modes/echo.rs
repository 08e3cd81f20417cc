//! Echo: each connection sends a batch of messages, and the next one when all have been answered.

use crate::connection::Handler;
use crate::connections::{Connections, HANDSHAKES_IN_FLIGHT};
use crate::failure::Failure;
use crate::latencies::Latencies;
use crate::options::{Dialect, Options};
use crate::payload::{Batch, FIRST_ID};
use crate::peer::Peer;
use crate::span::Span;
use serde_json::{Value, json};
use std::time::Instant;

/// Opens, warms up, measures.
pub fn run(options: &Options) -> Result<Value, Failure> {
    let mut connections = Connections::new(options, options.connections)?;
    let mut echo = Echo::new(options);
    connections.open_all(0..options.connections, HANDSHAKES_IN_FLIGHT, &mut echo)?;
    for id in 0..options.connections {
        echo.send(&mut connections.peer(id)?)?;
    }
    connections.run_for(options.warmup, &mut echo)?;
    let span = Span::start(options)?;
    echo.measured_from = Some(span.started_at());
    echo.answered = 0;
    connections.run_for(options.seconds, &mut echo)?;
    let measured = span.end()?;
    if echo.answered == 0 {
        return Err(Failure(format!("no message was answered in {:?}", measured.elapsed)));
    }
    let members = json!({ "latency_microseconds": echo.latencies.into_json() });
    Ok(measured.report(options, "message", echo.answered, members))
}

/// What one connection waits for.
struct Exchange {
    sent: Instant,
    outstanding: usize,
    /// ID of the next reply: replies must arrive in the order of the requests.
    next_id: u64,
    /// The first reply's content was compared; later replies are checked less.
    was_compared: bool,
}

struct Echo {
    batch: Batch,
    depth: usize,
    exchanges: Vec<Exchange>,
    next_id: u64,
    /// Replies since the measured part started.
    answered: u64,
    latencies: Latencies,
    /// Messages sent earlier are left out of the latencies.
    measured_from: Option<Instant>,
}

impl Echo {
    fn new(options: &Options) -> Echo {
        let exchange = || Exchange { sent: Instant::now(), outstanding: 0, next_id: FIRST_ID, was_compared: false };
        Echo {
            batch: match options.dialect {
                Dialect::Rpc => Batch::of_requests(options.depth, options.size),
                _ => Batch::of_texts(options.depth, options.size),
            },
            depth: options.depth,
            exchanges: (0..options.connections).map(|_| exchange()).collect(),
            next_id: FIRST_ID,
            answered: 0,
            latencies: Latencies::default(),
            measured_from: None,
        }
    }

    fn send(&mut self, peer: &mut Peer<'_>) -> Result<(), Failure> {
        let exchange = &mut self.exchanges[peer.id];
        (exchange.sent, exchange.outstanding, exchange.next_id) = (peer.now, self.depth, self.next_id);
        self.next_id += self.depth as u64;
        peer.send(self.batch.frames(exchange.next_id))
    }
}

impl Handler for Echo {
    fn message(&mut self, peer: &mut Peer<'_>, payload: &[u8], is_text: bool) -> Result<(), Failure> {
        let id = peer.id;
        let exchange = &mut self.exchanges[id];
        if !is_text || exchange.outstanding == 0 {
            let what = if is_text { "an unexpected message" } else { "a binary message" };
            return Err(Failure(format!("connection {id}: {what}")));
        }
        let checked = self.batch.check(payload, exchange.next_id, !exchange.was_compared);
        checked.map_err(|failure| Failure::of(format!("connection {id}"), failure))?;
        (exchange.was_compared, exchange.next_id) = (true, exchange.next_id + 1);
        exchange.outstanding -= 1;
        self.answered += 1;
        if self.measured_from.is_some_and(|start| exchange.sent >= start) {
            self.latencies.record(peer.now - exchange.sent);
        }
        if exchange.outstanding == 0 { self.send(peer) } else { Ok(()) }
    }
}
