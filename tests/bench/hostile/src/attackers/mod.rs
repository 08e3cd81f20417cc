//! Attackers at work: all their connections on one thread, which writes as fast as the gateway reads.

mod attacker;
pub mod plan;

use crate::attacks::{Attack, Reading};
use crate::gateway::Addresses;
use crate::{failure_of, priority};
use attacker::{Attacker, Received, Stage, Written};
use load::failure::Failure;
use load::socket::{self, Interest, Poller, Ready};
use plan::Plan;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const BUFFER: usize = 256 * 1024;
/// Bytes that a slow reader takes at once, and its pause.
const SLOW_READ: (usize, Duration) = (64, Duration::from_millis(50));
/// The longest sleep: how often the end is looked for.
const MAX_SLEEP: Duration = Duration::from_millis(20);
/// How long a connection stays that ends by itself, if the gateway doesn't end it.
const ENDING: Duration = Duration::from_millis(500);
/// Attackers' addresses, from 127.0.1.1 on: each has its own ephemeral ports.
const SOURCES: usize = 64;

/// What the attackers did, and what became of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Connections whose handshake succeeded, or that were established if there is none.
    pub opened: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Answers, events and control frames received.
    pub frames_received: u64,
    /// How connections ended, and how often.
    pub ends: BTreeMap<String, u64>,
}

/// Attacks until `is_over`, and closes all connections.
pub fn run(attack: &Attack, addresses: Addresses, is_over: &AtomicBool) -> Result<Outcome, Failure> {
    let plans = Plan::of_attack(attack, addresses);
    run_plans(plans.len(), |id| plans[id].clone(), is_over)
}

/// Keeps `count` connections open until `is_over`, each of which gets a plan whenever it is opened.
pub fn run_plans(
    count: usize,
    plan_of: impl FnMut(usize) -> Rc<Plan>,
    is_over: &AtomicBool,
) -> Result<Outcome, Failure> {
    priority::reset();
    let now = Instant::now();
    let mut attackers = Attackers {
        plan_of,
        poller: Poller::new().map_err(failure_of("epoll_create"))?,
        attackers: (0..count).map(|_| None).collect(),
        later: (0..count).map(|id| Reverse(Due { time: now, id, serial: 0, step: Step::Open })).collect(),
        serial: 0,
        buffer: vec![0; BUFFER].into(),
        outcome: Outcome::default(),
    };
    while !is_over.load(Relaxed) {
        attackers.step()?;
    }
    Ok(attackers.finish())
}

/// What a connection does at a certain time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open,
    /// The next byte of a script that drips.
    Write,
    /// The next bytes of a slow reader.
    Read,
    /// Begins to end by itself.
    BeginToEnd,
    End,
}

/// A step of the connection with this serial number, in the order of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    time: Instant,
    id: usize,
    serial: u64,
    step: Step,
}

struct Attackers<F> {
    plan_of: F,
    poller: Poller,
    attackers: Vec<Option<Attacker>>,
    later: BinaryHeap<Reverse<Due>>,
    /// Of the connection that was opened last.
    serial: u64,
    buffer: Box<[u8]>,
    outcome: Outcome,
}

impl<F: FnMut(usize) -> Rc<Plan>> Attackers<F> {
    fn step(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        while let Some(Reverse(due)) = self.later.peek().copied()
            && due.time <= now
        {
            self.later.pop();
            self.take_step(due)?;
        }
        let wake = self.later.peek().map_or(now + MAX_SLEEP, |Reverse(due)| due.time);
        let sleep = wake.saturating_duration_since(Instant::now()).min(MAX_SLEEP);
        let events = self.poller.wait(sleep).map_err(failure_of("epoll_wait"))?;
        for index in 0..events {
            self.handle(self.poller.ready(index))?;
        }
        Ok(())
    }

    fn take_step(&mut self, due: Due) -> Result<(), Failure> {
        let Due { id, serial, step, .. } = due;
        if step == Step::Open {
            return self.open(id);
        }
        let Some(attacker) = self.attackers[id].as_mut().filter(|attacker| attacker.serial == serial) else {
            return Ok(());
        };
        match step {
            Step::Open => Ok(()),
            Step::Write => self.write(id),
            Step::Read => {
                self.read(id)?;
                self.schedule(id, SLOW_READ.1, Step::Read);
                Ok(())
            }
            Step::BeginToEnd => {
                let ending = attacker.plan.end.map(|(_, ending)| ending);
                if ending.is_some_and(|ending| attacker.begin_to_end(ending)) {
                    self.schedule(id, ENDING, Step::End);
                    return self.poll(id, Interest::Read);
                }
                self.end(id, "left".to_owned())
            }
            Step::End => self.end(id, "left".to_owned()),
        }
    }

    /// Schedules a step of an open connection.
    fn schedule(&mut self, id: usize, pause: Duration, step: Step) {
        if let Some(Attacker { serial, .. }) = self.attackers[id] {
            self.later.push(Reverse(Due { time: Instant::now() + pause, id, serial, step }));
        }
    }

    fn schedule_open(&mut self, id: usize, pause: Duration) {
        self.later.push(Reverse(Due { time: Instant::now() + pause, id, serial: 0, step: Step::Open }));
    }

    fn open(&mut self, id: usize) -> Result<(), Failure> {
        let plan = (self.plan_of)(id);
        let source = Ipv4Addr::new(127, 0, 1, 1 + (id % SOURCES) as u8);
        let socket = match socket::start_connect(source, plan.addr) {
            Ok(socket) => socket,
            Err(error) => {
                self.count_end(format!("can't connect: {error}"));
                self.schedule_open(id, MAX_SLEEP);
                return Ok(());
            }
        };
        self.serial += 1;
        let attacker = Attacker::new(socket, plan, self.serial);
        self.poller.add(&attacker.socket, id, attacker.interest).map_err(failure_of("epoll_ctl"))?;
        let end = attacker.plan.end;
        self.attackers[id] = Some(attacker);
        if let Some((time, _)) = end {
            self.schedule(id, time, Step::BeginToEnd);
        }
        Ok(())
    }

    fn handle(&mut self, ready: Ready) -> Result<(), Failure> {
        let id = ready.id;
        let Some(attacker) = &mut self.attackers[id] else { return Ok(()) };
        if attacker.stage == Stage::Connecting {
            if let Err(error) = attacker.connected() {
                return self.end(id, format!("can't connect: {error}"));
            }
            if attacker.stage == Stage::Open {
                self.opened(id);
            }
        }
        // A connection that doesn't read isn't polled for it: if it is readable, it has ended.
        if ready.read {
            self.read(id)?;
        }
        if ready.write && self.attackers[id].is_some() {
            self.write(id)?;
        }
        Ok(())
    }

    fn opened(&mut self, id: usize) {
        self.outcome.opened += 1;
        if self.attackers[id].as_ref().is_some_and(|attacker| attacker.reading() == Reading::Slow) {
            self.schedule(id, SLOW_READ.1, Step::Read);
        }
    }

    fn read(&mut self, id: usize) -> Result<(), Failure> {
        let Some(attacker) = &mut self.attackers[id] else { return Ok(()) };
        let size = if attacker.reading() == Reading::Slow { SLOW_READ.0 } else { BUFFER };
        let length = match socket::read(&attacker.socket, &mut self.buffer[..size]) {
            Ok(None) => return Ok(()),
            Ok(Some(0)) => {
                let end = attacker.end_of_stream();
                return self.end(id, end);
            }
            Ok(Some(length)) => length,
            Err(error) => {
                let end = attacker.skimmer.close().map(|_| attacker.end_of_stream());
                return self.end(id, end.unwrap_or_else(|| format!("broken: {error}")));
            }
        };
        self.outcome.bytes_received += length as u64;
        match attacker.receive(&self.buffer[..length]) {
            Received::Nothing => Ok(()),
            Received::Refused(status) => self.end(id, format!("refused: {status}")),
            Received::Opened => {
                self.opened(id);
                self.write(id)
            }
        }
    }

    /// Sends as much as the socket accepts.
    fn write(&mut self, id: usize) -> Result<(), Failure> {
        let Some(attacker) = &mut self.attackers[id] else { return Ok(()) };
        let (sent, has_more) = match attacker.write() {
            Ok(Written::Leave) => return self.end(id, "left".to_owned()),
            Ok(Written::More(sent)) => (sent, true),
            Ok(Written::All(sent)) => (sent, false),
            // Why the connection is broken is found by reading.
            Err(_) => return self.read(id),
        };
        self.outcome.bytes_sent += sent as u64;
        let (drip, reads) = (attacker.drip(), attacker.reading() == Reading::All);
        if let Some(pause) = drip {
            self.schedule(id, pause, Step::Write);
        }
        let interest = match (reads, has_more) {
            (true, true) => Interest::ReadWrite,
            (true, false) => Interest::Read,
            (false, true) => Interest::Write,
            (false, false) => Interest::End,
        };
        self.poll(id, interest)
    }

    fn poll(&mut self, id: usize, interest: Interest) -> Result<(), Failure> {
        let Some(attacker) = &mut self.attackers[id] else { return Ok(()) };
        if attacker.interest != interest {
            attacker.interest = interest;
            self.poller.modify(&attacker.socket, id, interest).map_err(failure_of("epoll_ctl"))?;
        }
        Ok(())
    }

    fn end(&mut self, id: usize, end: String) -> Result<(), Failure> {
        if let Some(attacker) = self.attackers[id].take() {
            self.outcome.frames_received += attacker.skimmer.frames;
            self.schedule_open(id, attacker.plan.script.pause);
        }
        self.count_end(end);
        Ok(())
    }

    fn count_end(&mut self, end: String) {
        *self.outcome.ends.entry(end).or_default() += 1;
    }

    /// Closes all connections.
    fn finish(mut self) -> Outcome {
        for attacker in self.attackers.into_iter().flatten() {
            self.outcome.frames_received += attacker.skimmer.frames;
        }
        self.outcome
    }
}

#[cfg(test)]
mod tests;
