//! Broadcasts: one connection sends, all have to get it; then the next.

use super::{OPENING, report};
use crate::args::Options;
use crate::connection::Handler;
use crate::crowd::{Crowd, MOMENT};
use crate::failure::Failure;
use crate::frame::{Part, TEXT, client_frame};
use crate::json::Json;
use crate::messages;
use crate::patience::Patience;
use crate::peer::Peer;
use crate::span::Span;
use std::time::{Duration, Instant};

/// Rounds before the measuring.
const WARMUP: usize = 2;

/// Opens, sends a few broadcasts to warm up, measures the others.
pub fn run(options: &Options) -> Result<Json, Failure> {
    let (receivers, sender) = (options.connections + 1, options.connections);
    let mut crowd = Crowd::new(options, receivers)?;
    // A server may know of a connection only after its 101: whoever was echoed a text is known.
    let mut fanout = Fanout::new(receivers, messages::text(1));
    crowd.open_all(0..receivers, OPENING, &mut fanout)?;
    fanout.wait(&mut crowd, options, "an echo")?;
    fanout = Fanout::new(receivers, messages::broadcast(options.size));
    for _ in 0..WARMUP {
        fanout.round(&mut crowd, sender, options)?;
    }
    let before = fanout.delivered;
    let span = Span::begin(options)?;
    let mut times = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        times.push(fanout.round(&mut crowd, sender, options)?);
    }
    let measured = span.end()?;
    let delivered = fanout.delivered - before;
    let mut json = report(options, measured.elapsed);
    json.add("size", options.size);
    json.add("rounds", options.rounds);
    json.add("deliveries", delivered);
    json.add("deliveries_per_second", delivered as f64 / measured.elapsed.as_secs_f64());
    json.add("round_microseconds", super::summary(times));
    measured.add_to(&mut json, Some(("delivery", delivered)));
    Ok(json)
}

/// One text that everybody is to get, again and again.
struct Fanout {
    text: Vec<u8>,
    frame: Vec<u8>,
    /// Who has got it in this round, and how many haven't.
    had: Vec<bool>,
    missing: usize,
    /// Whose first one was compared with what was sent.
    compared: Vec<bool>,
    delivered: u64,
    /// When the latest came.
    last: Instant,
}

impl Fanout {
    fn new(receivers: usize, text: Vec<u8>) -> Fanout {
        Fanout {
            frame: client_frame(TEXT, &text),
            text,
            had: vec![false; receivers],
            missing: receivers,
            compared: vec![false; receivers],
            delivered: 0,
            last: Instant::now(),
        }
    }

    /// Sends one broadcast and waits until all have it: how long that took.
    fn round(&mut self, crowd: &mut Crowd, sender: usize, options: &Options) -> Result<Duration, Failure> {
        self.had.fill(false);
        self.missing = self.had.len();
        let mut peer = crowd.peer(sender).ok_or_else(|| Failure::Run("the sender has lost its connection".into()))?;
        let began = Instant::now();
        peer.send(&self.frame)?;
        self.wait(crowd, options, "a broadcast")?;
        Ok(self.last - began)
    }

    fn wait(&mut self, crowd: &mut Crowd, options: &Options, what: &str) -> Result<(), Failure> {
        let mut patience = Patience::new(options.patience);
        while self.missing > 0 {
            crowd.step(MOMENT, self)?;
            let (missing, all) = (self.missing, self.had.len());
            patience.check(crowd.tally.bytes, || format!("{what} that {missing} of {all} connections haven't got"))?;
        }
        Ok(())
    }
}

impl Handler for Fanout {
    fn opened(&mut self, peer: &mut Peer<'_>) -> Result<(), Failure> {
        peer.send(&self.frame)
    }

    fn data(&mut self, peer: &mut Peer<'_>, part: Part<'_>) -> Result<(), Failure> {
        let id = peer.id;
        let wrong = |what: &str| Err(Failure::Run(format!("connection {id}: {what}")));
        let end = part.offset + part.bytes.len() as u64;
        if self.had[id] {
            return wrong("a text came twice, or nobody sent it");
        }
        if !part.text || end > self.text.len() as u64 || (part.last && end != self.text.len() as u64) {
            return wrong("what came isn't as long as what was sent, or not a text");
        }
        if !self.compared[id] && self.text[part.offset as usize..end as usize] != *part.bytes {
            return wrong("what came differs from what was sent");
        }
        if part.last {
            (self.had[id], self.compared[id], self.last) = (true, true, peer.now);
            self.missing -= 1;
            self.delivered += 1;
        }
        Ok(())
    }
}
