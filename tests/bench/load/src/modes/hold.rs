//! Hold: opens connections and holds them. Measures the server's memory per connection and the CPU time of its pings
//! or, with `--at-once`, of the handshakes.

use crate::connection::Handler;
use crate::connections::{Connections, HANDSHAKES_IN_FLIGHT, MAX_SLEEP};
use crate::dialect::{PubSub, Received};
use crate::failure::Failure;
use crate::losses::{End, Losses};
use crate::options::{Dialect, Options};
use crate::peer::Peer;
use crate::process;
use crate::span::{Measured, Span};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Interval at which the server's memory is read.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// Memory that hasn't changed for this long has settled.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// Memory that hasn't settled by then is reported as it is.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Opens all, measures, closes all, measures memory again.
pub fn run(options: &Options) -> Result<Value, Failure> {
    let mut connections = Connections::new(options, options.connections)?;
    let mut held = Held::new(options);
    let before = held.settle(&mut connections, options)?;
    let span = Span::start(options)?;
    let opened_in = held.open(&mut connections, options)?;
    let opening = span.end()?;
    let opened = connections.counts.open;
    let with_all = held.settle(&mut connections, options)?;
    let open_when_measured = connections.counts.open;
    let pings_before = connections.counts.pings;
    let span = Span::start(options)?;
    connections.run_for(options.seconds, &mut held)?;
    let holding = span.end()?;
    let pings = connections.counts.pings - pings_before;
    connections.drop_all();
    let after = held.settle(&mut connections, options)?;
    let each = |now: Option<u64>| Some((now? as f64 - before? as f64) / opened as f64);
    let members = json!({
        "opened": opened,
        "opened_in_seconds": opened_in.as_secs_f64(),
        "open_when_measured": open_when_measured,
        "lost": held.losses.total(),
        "resident_bytes_before": before,
        "resident_bytes_per_connection": each(with_all),
        "resident_bytes_per_connection_after_closing": each(after),
    });
    let report = |measured: Measured, unit, count| measured.report(options, unit, count, members);
    Ok(if options.at_once { report(opening, "handshake", opened as u64) } else { report(holding, "ping", pings) })
}

/// Expects no messages, and counts the connections that end.
struct Held {
    losses: Losses,
    /// Subscribes each connection; only for nats-server, which sets a client up only after its CONNECT.
    pubsub: Option<PubSub>,
    confirmed: usize,
}

impl Held {
    fn new(options: &Options) -> Held {
        let pubsub = (options.dialect == Dialect::Nats).then(|| PubSub::new(options, options.connections));
        Held { losses: Losses::default(), pubsub, confirmed: 0 }
    }

    /// Opens all connections, and returns how long it took.
    fn open(&mut self, connections: &mut Connections, options: &Options) -> Result<Duration, Failure> {
        let in_flight = if options.at_once { usize::MAX } else { HANDSHAKES_IN_FLIGHT };
        let start = Instant::now();
        connections.open_all(0..options.connections, in_flight, self)?;
        let elapsed = start.elapsed();
        if connections.counts.open == 0 || !options.at_once {
            self.losses.check_opened()?;
        }
        while self.pubsub.is_some() && self.confirmed < options.connections {
            connections.step(MAX_SLEEP, self)?;
        }
        Ok(elapsed)
    }

    /// Returns the server's resident memory once it has settled. Pings are answered meanwhile.
    fn settle(&mut self, connections: &mut Connections, options: &Options) -> Result<Option<u64>, Failure> {
        let Some(pid) = options.pid else { return Ok(None) };
        let start = Instant::now();
        let (mut last, mut since) = (process::resident_bytes(pid)?, start);
        while since.elapsed() < SETTLED_AFTER {
            if start.elapsed() > SETTLE_TIMEOUT {
                eprintln!("memory still changes after {SETTLE_TIMEOUT:?}");
                break;
            }
            connections.run_for(SAMPLE_INTERVAL, self)?;
            let now = process::resident_bytes(pid)?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(Some(last))
    }
}

impl Handler for Held {
    fn opened(&mut self, peer: &mut Peer<'_>) -> Result<(), Failure> {
        let subscription = self.pubsub.as_ref().and_then(PubSub::subscription);
        subscription.map_or(Ok(()), |frame| peer.send(&frame))
    }

    fn message(&mut self, peer: &mut Peer<'_>, payload: &[u8], is_text: bool) -> Result<(), Failure> {
        let Held { pubsub, confirmed, .. } = self;
        let Some(pubsub) = pubsub else { return Ok(()) };
        pubsub.receive(peer.id, payload, is_text, |received| match received {
            Received::Reply(frame) => peer.send(frame),
            Received::Confirmation => {
                *confirmed += 1;
                Ok(())
            }
            Received::Event(_) | Received::Payload => Ok(()),
        })
    }

    fn ended(&mut self, id: usize, end: &End) -> Result<(), Failure> {
        self.losses.count(id, end);
        Ok(())
    }
}
