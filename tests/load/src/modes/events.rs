//! Events: all connections but one subscribe to a topic, that one publishes, and all have to get every event in order.

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

/// Single events before the measuring.
const WARMUP: usize = 2;

const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.subscribe","params":{"topics":["figures"]}}"#;

/// Opens, has all subscribe, publishes a few times to warm up, measures the others.
pub fn run(options: &Options) -> Result<Json, Failure> {
    let publisher = options.connections;
    let mut crowd = Crowd::new(options, publisher + 1)?;
    let mut events = Events::new(publisher);
    crowd.open_all(0..publisher + 1, OPENING, &mut events)?;
    // The publisher has nothing to subscribe to.
    events.wait(&mut crowd, options, "an answer to its subscription")?;
    let publish = publishing(options);
    for _ in 0..WARMUP {
        events.round(&mut crowd, &publish[..publish.len() / options.depth], 1, options)?;
    }
    let before = events.delivered;
    let span = Span::begin(options)?;
    let mut times = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        times.push(events.round(&mut crowd, &publish, options.depth, options)?);
    }
    let measured = span.end()?;
    let delivered = events.delivered - before;
    let mut json = report(options, measured.elapsed);
    json.add("size", options.size);
    json.add("rounds", options.rounds);
    json.add("depth", options.depth);
    json.add("deliveries", delivered);
    json.add("deliveries_per_second", delivered as f64 / measured.elapsed.as_secs_f64());
    json.add("round_microseconds", super::summary(times));
    measured.add_to(&mut json, Some(("delivery", delivered)));
    Ok(json)
}

/// The frames of a round: so many events, each with a text of the size that was asked for.
fn publishing(options: &Options) -> Vec<u8> {
    let data = String::from_utf8(messages::text(options.size)).expect("letters");
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.publish","params":{{"topic":"figures","data":"{data}"}}}}"#
    );
    client_frame(TEXT, request.as_bytes()).repeat(options.depth)
}

/// What has come.
struct Events {
    publisher: usize,
    /// The number of the last event that each subscriber has got.
    seqs: Vec<u64>,
    /// The begin of a message that comes in pieces.
    begun: Vec<Vec<u8>>,
    /// Messages that have to come yet, answers and events.
    missing: usize,
    delivered: u64,
    /// When the latest came.
    last: Instant,
}

impl Events {
    fn new(publisher: usize) -> Events {
        Events {
            publisher,
            seqs: vec![0; publisher],
            begun: vec![Vec::new(); publisher + 1],
            missing: publisher,
            delivered: 0,
            last: Instant::now(),
        }
    }

    /// Publishes and waits until all have all, and the publisher its answers: how long that took.
    fn round(
        &mut self,
        crowd: &mut Crowd,
        publish: &[u8],
        count: usize,
        options: &Options,
    ) -> Result<Duration, Failure> {
        self.missing = count * (self.publisher + 1);
        let lost = || Failure::Run("the publisher has lost its connection".into());
        let mut peer = crowd.peer(self.publisher).ok_or_else(lost)?;
        let began = Instant::now();
        peer.send(publish)?;
        self.wait(crowd, options, "an event")?;
        Ok(self.last - began)
    }

    fn wait(&mut self, crowd: &mut Crowd, options: &Options, what: &str) -> Result<(), Failure> {
        let mut patience = Patience::new(options.patience);
        while self.missing > 0 {
            crowd.step(MOMENT, self)?;
            let missing = self.missing;
            patience.check(crowd.tally.bytes, || format!("{what} of {missing} that haven't come"))?;
        }
        Ok(())
    }

    fn whole(&mut self, id: usize, message: &[u8]) -> Result<(), Failure> {
        let wrong = |what: &str| {
            let message = String::from_utf8_lossy(&message[..message.len().min(120)]);
            Err(Failure::Run(format!("connection {id}: {what}: {message}")))
        };
        match seq_of(message) {
            Some(seq) if id < self.publisher && seq == self.seqs[id] + 1 => {
                self.seqs[id] = seq;
                self.delivered += 1;
            }
            Some(_) => return wrong("an event out of order"),
            None if message.windows(8).any(|window| window == b"\"result\"") => {}
            None => return wrong("neither an event nor a result"),
        }
        match self.missing.checked_sub(1) {
            Some(missing) => self.missing = missing,
            None => return wrong("nobody waits for it"),
        }
        Ok(())
    }
}

/// The number behind `"seq":`, which an event has near its begin.
fn seq_of(message: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"seq\":";
    const EDGE: usize = 200;
    let edge = &message[..message.len().min(EDGE)];
    let at = edge.windows(NAME.len()).position(|window| window == NAME)?;
    let digits = edge[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

impl Handler for Events {
    fn opened(&mut self, peer: &mut Peer<'_>) -> Result<(), Failure> {
        if peer.id == self.publisher { Ok(()) } else { peer.send(&client_frame(TEXT, SUBSCRIBE.as_bytes())) }
    }

    fn data(&mut self, peer: &mut Peer<'_>, part: Part<'_>) -> Result<(), Failure> {
        self.last = peer.now;
        if part.offset == 0 && part.last {
            return self.whole(peer.id, part.bytes);
        }
        self.begun[peer.id].extend_from_slice(part.bytes);
        if part.last {
            let message = std::mem::take(&mut self.begun[peer.id]);
            return self.whole(peer.id, &message);
        }
        Ok(())
    }
}
