//! Handshake: connect, handshake, close frame, its answer, end of the stream; repeated. The server closes the TCP
//! connection first (RFC 6455, section 7.1.1); no reset is sent.

use crate::connection::Handler;
use crate::connections::{Connections, MAX_SLEEP};
use crate::failure::Failure;
use crate::losses::{End, Losses};
use crate::options::Options;
use crate::peer::Peer;
use crate::span::Span;
use serde_json::{Value, json};
use std::time::Instant;

/// Warms up, measures, and waits for the handshakes in flight.
pub fn run(options: &Options) -> Result<Value, Failure> {
    let mut connections = Connections::new(options, options.connections)?;
    let mut handshakes = Handshakes { free: (0..options.connections).collect(), ..Handshakes::default() };
    handshakes.run_until(&mut connections, Instant::now() + options.warmup)?;
    let (before, span) = (handshakes.done, Span::start(options)?);
    handshakes.run_until(&mut connections, span.started_at() + options.seconds)?;
    let measured = span.end()?;
    let done = handshakes.done - before;
    while handshakes.free.len() < options.connections {
        connections.step(MAX_SLEEP, &mut handshakes)?;
    }
    if handshakes.done == 0 {
        return Err(Failure(format!("no handshake in {:?}", measured.elapsed)));
    }
    let members = json!({ "lost": handshakes.losses.total() });
    Ok(measured.report(options, "handshake", done, members))
}

#[derive(Default)]
struct Handshakes {
    /// Indexes without a connection.
    free: Vec<usize>,
    done: u64,
    losses: Losses,
}

impl Handshakes {
    fn run_until(&mut self, connections: &mut Connections, end: Instant) -> Result<(), Failure> {
        while Instant::now() < end {
            // An index whose connection fails at once is free again, and waits for the next step.
            for id in std::mem::take(&mut self.free) {
                connections.open(id, self)?;
            }
            connections.step(MAX_SLEEP, self)?;
        }
        Ok(())
    }
}

impl Handler for Handshakes {
    fn opened(&mut self, peer: &mut Peer<'_>) -> Result<(), Failure> {
        peer.close()
    }

    fn message(&mut self, _peer: &mut Peer<'_>, _payload: &[u8], _is_text: bool) -> Result<(), Failure> {
        Ok(())
    }

    fn ended(&mut self, id: usize, end: &End) -> Result<(), Failure> {
        match end {
            End::Finished => self.done += 1,
            _ => self.losses.count(id, end),
        }
        self.free.push(id);
        Ok(())
    }
}
