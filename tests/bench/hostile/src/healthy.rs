//! Healthy clients: each sends `gateway.echo` requests on a fixed schedule, whatever happens to earlier ones, and
//! checks that each is answered, in order.
//!
//! A latency counts from the scheduled time, so that a stall of the gateway delays all requests that fall into it.

use crate::gateway::Credential;
use crate::samples::Samples;
use load::connection::Handler;
use load::connections::{Connections, HANDSHAKES_IN_FLIGHT, MAX_SLEEP};
use load::failure::Failure;
use load::losses::End;
use load::options::{Dialect, Options};
use load::payload::{Batch, FIRST_ID};
use load::peer::Peer;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// Bytes of a request.
const REQUEST_BYTES: usize = 100;
/// How long answers may take when nothing more is sent, before they count as lost.
const SETTLE: Duration = Duration::from_secs(20);

/// What the clients observed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Damage {
    /// Clients whose connection ended.
    pub disconnected: u64,
    /// Requests that weren't answered.
    pub lost: u64,
    /// Answers that weren't the one to the oldest unanswered request.
    pub out_of_order: u64,
}

/// The healthy clients and their schedule.
pub struct Healthy {
    connections: Connections,
    clients: Clients,
    /// Number of the next request among those of all clients.
    next: u64,
}

impl Healthy {
    /// Connects this many clients, each of which will send `rate` requests a second.
    pub fn connect(addr: SocketAddrV4, count: usize, rate: f64) -> Result<Healthy, Failure> {
        let token = Credential::Healthy.token();
        let options = Options { addr, token, connections: count, dialect: Dialect::Rpc, ..Options::default() };
        let mut connections = Connections::new(&options, count)?;
        let mut clients = Clients::new(count, Duration::from_secs_f64(1.0 / rate));
        connections.open_all(0..count, HANDSHAKES_IN_FLIGHT, &mut clients)?;
        if clients.damage.disconnected > 0 {
            return Err(Failure(format!("{} healthy clients couldn't connect", clients.damage.disconnected)));
        }
        clients.start = Instant::now();
        Ok(Healthy { connections, clients, next: 0 })
    }

    /// Sends and receives for this long. Requests that fall into this part are recorded in the samples of that index.
    pub fn run(&mut self, part: usize, time: Duration) -> Result<(), Failure> {
        let from = Instant::now();
        let end = from + time;
        self.clients.parts.push((from, part));
        loop {
            let now = Instant::now();
            self.send_due(now)?;
            if now >= end {
                return Ok(());
            }
            let wake = self.clients.due(self.next).min(end);
            let sleep = wake.saturating_duration_since(Instant::now()).min(MAX_SLEEP);
            self.connections.step(sleep, &mut self.clients)?;
        }
    }

    /// Receives what is outstanding, and returns what was damaged since the clients connected.
    pub fn settle(&mut self) -> Result<Damage, Failure> {
        self.settle_within(SETTLE)
    }

    fn settle_within(&mut self, time: Duration) -> Result<Damage, Failure> {
        let deadline = Instant::now() + time;
        while self.clients.outstanding() > 0 && Instant::now() < deadline {
            self.connections.step(MAX_SLEEP, &mut self.clients)?;
        }
        let lost = self.clients.outstanding() + self.clients.lost_with_connection;
        Ok(Damage { lost, ..self.clients.damage })
    }

    /// The samples of a part.
    pub fn samples(&mut self, part: usize) -> &mut Samples {
        &mut self.clients.samples[part]
    }

    /// How late requests of a part were sent, because this program didn't run in time.
    pub fn delays(&mut self, part: usize) -> &mut Samples {
        &mut self.clients.delays[part]
    }

    fn send_due(&mut self, now: Instant) -> Result<(), Failure> {
        let Healthy { connections, clients, next } = self;
        while clients.due(*next) <= now {
            let (round, id) = (*next / clients.states.len() as u64, (*next % clients.states.len() as u64) as usize);
            let part = clients.part_of(clients.due(*next));
            let delay = now - clients.due(*next);
            *next += 1;
            let state = &mut clients.states[id];
            if !state.is_open {
                continue;
            }
            state.sent += 1;
            clients.delays[part].record(id, delay);
            connections.peer(id)?.send(clients.batch.frames(FIRST_ID + round))?;
        }
        Ok(())
    }
}

/// One client.
#[derive(Clone, Copy, Default)]
struct State {
    is_open: bool,
    /// Requests sent; request `n` is sent in round `n`.
    sent: u64,
    answered: u64,
}

struct Clients {
    batch: Batch,
    states: Vec<State>,
    interval: Duration,
    start: Instant,
    /// When each part began, and its index.
    parts: Vec<(Instant, usize)>,
    samples: [Samples; 2],
    delays: [Samples; 2],
    damage: Damage,
    lost_with_connection: u64,
}

impl Clients {
    fn new(count: usize, interval: Duration) -> Clients {
        Clients {
            batch: Batch::of_requests(1, REQUEST_BYTES),
            states: vec![State::default(); count],
            interval,
            start: Instant::now(),
            parts: Vec::new(),
            samples: Default::default(),
            delays: Default::default(),
            damage: Damage::default(),
            lost_with_connection: 0,
        }
    }

    /// When a request is scheduled: the clients take turns, at equal distances.
    fn due(&self, request: u64) -> Instant {
        let nanoseconds = self.interval.as_nanos() * u128::from(request) / self.states.len() as u128;
        self.start + Duration::from_nanos(nanoseconds as u64)
    }

    /// The index of the part that a time falls into.
    fn part_of(&self, time: Instant) -> usize {
        self.parts.iter().rev().find(|(from, _)| *from <= time).map_or(0, |(_, part)| *part)
    }

    fn outstanding(&self) -> u64 {
        self.states.iter().filter(|state| state.is_open).map(|state| state.sent - state.answered).sum()
    }
}

impl Handler for Clients {
    fn opened(&mut self, peer: &mut Peer<'_>) -> Result<(), Failure> {
        self.states[peer.id].is_open = true;
        Ok(())
    }

    fn message(&mut self, peer: &mut Peer<'_>, payload: &[u8], _is_text: bool) -> Result<(), Failure> {
        let state = &mut self.states[peer.id];
        let (round, is_first) = (state.answered, state.answered == 0);
        state.answered += 1;
        if state.answered > state.sent {
            return Err(Failure(format!("healthy client {}: an answer without a request", peer.id)));
        }
        if let Err(failure) = self.batch.check(payload, FIRST_ID + round, is_first) {
            if self.damage.out_of_order == 0 {
                eprintln!("healthy client {}: {failure}", peer.id);
            }
            self.damage.out_of_order += 1;
            return Ok(());
        }
        let due = self.due(round * self.states.len() as u64 + peer.id as u64);
        let part = self.part_of(due);
        self.samples[part].record(peer.id, peer.now.saturating_duration_since(due));
        Ok(())
    }

    fn ended(&mut self, id: usize, end: &End) -> Result<(), Failure> {
        let state = &mut self.states[id];
        state.is_open = false;
        self.lost_with_connection += state.sent - state.answered;
        if self.damage.disconnected == 0 {
            eprintln!("healthy client {id}: {end}");
        }
        self.damage.disconnected += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
