//! Connect, handshake, close frame, its answer, the end of the stream; and again. The server closes the TCP connection,
//! as RFC 6455, section 7.1.1, wants it; no reset is ever sent.

use super::report;
use crate::args::Options;
use crate::connection::Handler;
use crate::crowd::{Crowd, MOMENT};
use crate::failure::Failure;
use crate::frame::Part;
use crate::json::Json;
use crate::losses::{End, Losses};
use crate::patience::Patience;
use crate::peer::Peer;
use crate::span::Span;
use std::time::{Duration, Instant};

/// Warms up, measures, and lets what is in flight end by the book.
pub fn run(options: &Options) -> Result<Json, Failure> {
    let mut crowd = Crowd::new(options, options.connections)?;
    let mut handshakes = Handshakes { free: (0..options.connections).collect(), ..Handshakes::default() };
    handshakes.go_on(&mut crowd, options.patience, Instant::now() + options.warmup)?;
    let (before, span) = (handshakes.done, Span::begin(options)?);
    handshakes.go_on(&mut crowd, options.patience, span.began() + options.seconds)?;
    let measured = span.end()?;
    let done = handshakes.done - before;
    handshakes.finish(&mut crowd, options)?;
    if handshakes.done == 0 {
        return Err(Failure::Run(format!("no handshake in {:?}", measured.elapsed)));
    }
    let mut json = report(options, measured.elapsed);
    json.add("handshakes", done);
    json.add("handshakes_per_second", done as f64 / measured.elapsed.as_secs_f64());
    json.add("failures", handshakes.losses.total());
    json.add("losses", handshakes.losses.to_json());
    measured.add_to(&mut json, Some(("handshake", done)));
    Ok(json)
}

#[derive(Default)]
struct Handshakes {
    /// Numbers without a connection.
    free: Vec<usize>,
    done: u64,
    losses: Losses,
}

impl Handshakes {
    fn go_on(&mut self, crowd: &mut Crowd, patience: Duration, until: Instant) -> Result<(), Failure> {
        let mut patience = Patience::new(patience);
        while Instant::now() < until {
            // Those that fail at once are free again: not in this round.
            for _ in 0..self.free.len() {
                if let Some(id) = self.free.pop() {
                    crowd.open(id, self)?;
                }
            }
            self.step(crowd, &mut patience)?;
        }
        Ok(())
    }

    fn finish(&mut self, crowd: &mut Crowd, options: &Options) -> Result<(), Failure> {
        let mut patience = Patience::new(options.patience);
        while self.free.len() < options.connections {
            self.step(crowd, &mut patience)?;
        }
        Ok(())
    }

    fn step(&mut self, crowd: &mut Crowd, patience: &mut Patience) -> Result<(), Failure> {
        crowd.step(MOMENT, self)?;
        let tally = crowd.tally;
        patience.check(self.done + self.losses.total(), || {
            format!("{} handshakes, and the end of {} connections that were closed", tally.opening, tally.open)
        })
    }
}

impl Handler for Handshakes {
    fn opened(&mut self, peer: &mut Peer<'_>) -> Result<(), Failure> {
        peer.close()
    }

    fn data(&mut self, _peer: &mut Peer<'_>, _part: Part<'_>) -> Result<(), Failure> {
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
