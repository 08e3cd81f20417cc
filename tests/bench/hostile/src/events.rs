//! Healthy subscribers: each must receive every event of a topic, in order, while others misbehave.

use crate::gateway::Credential;
use crate::priority;
use load::connection::Handler;
use load::connections::{Connections, HANDSHAKES_IN_FLIGHT, MAX_SLEEP};
use load::failure::Failure;
use load::losses::End;
use load::options::Options;
use load::payload::number_after;
use load::peer::Peer;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use test_support::frames::{FIN, TEXT, client_frame};

/// Subscribers; one more connection publishes.
pub const SUBSCRIBERS: usize = 50;
/// Pause between two publications.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long confirmations, and events after the last publication, may be on their way.
const SETTLE: Duration = Duration::from_secs(20);
/// Beginning of an event within which its `seq` is looked for.
const HEAD: usize = 200;

const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.subscribe","params":{"topics":["healthy"]}}"#;
const PUBLISH: &str = r#"{"jsonrpc":"2.0","method":"gateway.publish","params":{"topic":"healthy","data":{"on":true}}}"#;

/// What became of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deliveries {
    pub published: u64,
    /// Events that didn't follow the one before.
    pub out_of_order: u64,
    /// Events that a subscriber didn't get.
    pub lost: u64,
    /// Connections that ended.
    pub disconnected: u64,
}

/// Connects, subscribes, publishes until `is_over`, and waits for the last events.
pub fn run(addr: SocketAddrV4, is_over: &AtomicBool) -> Result<Deliveries, Failure> {
    priority::reset();
    let options = Options { addr, token: Credential::Healthy.token(), ..Options::default() };
    let mut connections = Connections::new(&options, SUBSCRIBERS + 1)?;
    let mut subscribers = Subscribers { last: [None; SUBSCRIBERS], deliveries: Deliveries::default() };
    connections.open_all(0..SUBSCRIBERS + 1, HANDSHAKES_IN_FLIGHT, &mut subscribers)?;
    for id in 0..SUBSCRIBERS {
        connections.peer(id)?.send(&client_frame(FIN | TEXT, SUBSCRIBE.as_bytes()))?;
    }
    step_while(&mut connections, &mut subscribers, |subscribers| subscribers.last.contains(&None))?;
    let publication = client_frame(FIN | TEXT, PUBLISH.as_bytes());
    while !is_over.load(Relaxed) && subscribers.deliveries.disconnected == 0 {
        connections.peer(SUBSCRIBERS)?.send(&publication)?;
        subscribers.deliveries.published += 1;
        connections.run_for(INTERVAL, &mut subscribers)?;
    }
    step_while(&mut connections, &mut subscribers, |subscribers| subscribers.missing() > 0)?;
    Ok(Deliveries { lost: subscribers.missing(), ..subscribers.deliveries })
}

/// Receives as long as this is so, but not for ever.
fn step_while(
    connections: &mut Connections,
    subscribers: &mut Subscribers,
    is_waiting: impl Fn(&Subscribers) -> bool,
) -> Result<(), Failure> {
    let deadline = Instant::now() + SETTLE;
    while is_waiting(subscribers) && Instant::now() < deadline {
        connections.step(MAX_SLEEP, subscribers)?;
    }
    Ok(())
}

struct Subscribers {
    /// The `seq` that each subscriber received last; 0 once it is subscribed.
    last: [Option<u64>; SUBSCRIBERS],
    deliveries: Deliveries,
}

impl Subscribers {
    fn missing(&self) -> u64 {
        self.last.iter().map(|last| self.deliveries.published.saturating_sub(last.unwrap_or(0))).sum()
    }
}

impl Handler for Subscribers {
    fn message(&mut self, peer: &mut Peer<'_>, payload: &[u8], _is_text: bool) -> Result<(), Failure> {
        let Some(last) = self.last.get_mut(peer.id) else { return Ok(()) };
        match (number_after(&payload[..payload.len().min(HEAD)], b"\"seq\":"), *last) {
            (Some(seq), Some(previous)) => {
                self.deliveries.out_of_order += u64::from(seq != previous + 1);
                *last = Some(seq);
            }
            _ => *last = last.or(Some(0)),
        }
        Ok(())
    }

    fn ended(&mut self, id: usize, end: &End) -> Result<(), Failure> {
        eprintln!("healthy subscriber {id}: {end}");
        self.deliveries.disconnected += 1;
        Ok(())
    }
}
