//! Keeping alive: one task and one wheel for all clients. It asks for pings and judges who didn't answer.
//!
//! Knows clients by weak handles, and nothing of streams: the client sends the ping and says when it went out.

mod wheel;

use wheel::{Key, TimerWheel};

use crate::client::{CloseReason, GatewayClient, Stats};
use crate::config;
use crate::counters::Counter;
use parking_lot::{Mutex, MutexGuard};
use std::hint::black_box;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// The wheel's resolution where intervals allow it.
const LONGEST_TICK: Duration = Duration::from_millis(100);
/// Ticks in the shorter of interval and timeout, at least, down to a millisecond each.
const TICKS: u32 = 50;

/// Visits between two pauses for others, who wait for the lock or for this worker's time: a ping may be a system call.
const PIECE: usize = 64;

/// Time and ticks between two pieces of work beyond which this process stood still: suspended, stopped, or without a
/// processor.
const LATE: Duration = Duration::from_millis(100);
const LATE_TICKS: u64 = 3;

/// The wheel of all clients, and the rules by which it turns.
pub struct Heartbeat {
    wheel: Mutex<TimerWheel<Entry>>,
    /// Tick 0.
    started: Instant,
    tick: Duration,
    timeout: Duration,
    interval_ticks: u64,
    timeout_ticks: u64,
    /// Longer between two pieces of work is a standstill.
    late_ticks: u64,
    /// Clients closed as [`CloseReason::PongTimeout`].
    timeouts: Counter,
    stats: Arc<Stats>,
    /// Wakes the task when the wheel is no longer empty.
    watched: Notify,
}

/// What is in the wheel.
enum Entry {
    /// A client, to be visited.
    Watched { client: Weak<GatewayClient>, next: Visit },
    /// What is to be done once.
    Alarm(Box<dyn FnOnce() + Send>),
}

/// What the heartbeat does when a client's deadline comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    /// Ask for a ping.
    Ping,
    /// See whether anything came since the ping that was due at this tick.
    Judge(u64),
}

/// The last piece of a turn of the wheel, and room for the next one's work.
#[derive(Default)]
struct Turn {
    now: u64,
    /// Not all who are due were visited.
    is_behind: bool,
    /// The process stood still a moment ago: until then nobody is judged.
    lenient_until: u64,
    due: Vec<Key>,
    visits: Vec<(Key, Arc<GatewayClient>, Visit)>,
    alarms: Vec<Box<dyn FnOnce() + Send>>,
    /// What came of the visits: what is next, and when.
    visited: Vec<(Key, u64, Visit)>,
}

/// A client's place in the wheel, or an alarm's; dropping it takes that out.
#[must_use = "dropping it ends the pings, or the alarm"]
pub struct Watch {
    heartbeat: Arc<Heartbeat>,
    key: Key,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.heartbeat.wheel.lock().remove(self.key);
    }
}

impl Heartbeat {
    /// A wheel with no clients. Pongs and round trips are counted in `stats` by the sessions.
    pub fn new(settings: &config::Heartbeat, stats: Arc<Stats>) -> Self {
        let shorter = settings.interval.min(settings.timeout);
        let tick = (shorter / TICKS).clamp(Duration::from_millis(1), LONGEST_TICK);
        let ticks = |duration: Duration| duration.as_nanos().div_ceil(tick.as_nanos()) as u64;
        let timeout_ticks = ticks(settings.timeout).max(1);
        Heartbeat {
            wheel: Mutex::default(),
            started: Instant::now(),
            tick,
            timeout: settings.timeout,
            interval_ticks: ticks(settings.interval).max(1),
            timeout_ticks,
            late_ticks: ticks(LATE).max(LATE_TICKS).min(timeout_ticks.div_ceil(2)),
            timeouts: Counter::default(),
            stats,
            watched: Notify::new(),
        }
    }

    /// Pings a client until the returned guard is dropped: first somewhere within the interval, spread by the
    /// client's random ID, then always at that offset.
    pub fn watch(self: &Arc<Self>, client: &Arc<GatewayClient>) -> Watch {
        self.watch_from(self.tick_of(Instant::now()), client)
    }

    fn watch_from(self: &Arc<Self>, now: u64, client: &Arc<GatewayClient>) -> Watch {
        let first = self.next_ping(client, now);
        self.insert(Entry::Watched { client: Arc::downgrade(client), next: Visit::Ping }, first)
    }

    /// Does something after a time, at most a tick (100 ms or less) later, unless the returned guard is dropped before. It
    /// is done on the heartbeat's task: it must not take long.
    pub fn alarm(self: &Arc<Self>, after: Duration, ring: impl FnOnce() + Send + 'static) -> Watch {
        self.insert(Entry::Alarm(Box::new(ring)), self.tick_after(Instant::now() + after))
    }

    fn insert(self: &Arc<Self>, entry: Entry, deadline: u64) -> Watch {
        let key = self.wheel.lock().insert(entry, deadline);
        self.watched.notify_one();
        Watch { heartbeat: self.clone(), key }
    }

    /// Clients closed because they didn't answer.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.get()
    }

    /// Turns the wheel for ever; a task of its own.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut turn, mut rotated) = (Turn::default(), 0);
        loop {
            if self.wheel.lock().is_empty() {
                self.watched.notified().await;
                turn.now = self.tick_of(Instant::now());
            }
            if turn.is_behind {
                tokio::task::yield_now().await;
            } else {
                ticks.tick().await;
            }
            // By the clock, not tick by tick: a turn longer than a tick goes on with what came due meanwhile.
            self.turn(&mut turn, self.tick_of(Instant::now()));
            if turn.now >= rotated + self.interval_ticks {
                rotated = turn.now;
                self.stats.round_trips.rotate();
            }
        }
    }

    /// Visits a piece's worth of those who are due. The lock is not held while clients are asked.
    fn turn(&self, turn: &mut Turn, now: u64) {
        // A standstill lasts until all who came due in it were visited: the sessions have as much to catch up with.
        let still_stands = turn.is_behind && turn.now < turn.lenient_until;
        if still_stands || now > turn.now + self.late_ticks {
            turn.lenient_until = now + self.late_ticks;
        }
        turn.now = now;
        self.collect(turn);
        for ring in turn.alarms.drain(..) {
            ring();
        }
        let mut visits = std::mem::take(&mut turn.visits);
        for (key, client, visit) in visits.drain(..) {
            if let Some((deadline, next)) = self.visit(&client, visit, turn) {
                turn.visited.push((key, deadline, next));
            }
        }
        turn.visits = visits;
        let mut wheel = self.wheel.lock();
        for (key, deadline, next) in turn.visited.drain(..) {
            if let Some(Entry::Watched { next: visit, .. }) = wheel.get_mut(key) {
                *visit = next;
                wheel.schedule(key, deadline);
            }
        }
        hand_over(wheel);
    }

    /// Takes a piece's worth of those who are due from the wheel.
    fn collect(&self, turn: &mut Turn) {
        let mut wheel = self.wheel.lock();
        turn.is_behind = !wheel.advance(turn.now, PIECE, &mut turn.due);
        // Upgrading a handle waits for its client's memory. Looking at all of them first doesn't: the processor fetches many
        // at a time.
        for key in &turn.due {
            if let Some(Entry::Watched { client, .. }) = wheel.get(*key) {
                black_box(client.strong_count());
            }
        }
        for key in turn.due.drain(..) {
            match wheel.get(key) {
                Some(Entry::Watched { client, next }) => {
                    turn.visits.extend(client.upgrade().map(|client| (key, client, *next)));
                }
                Some(Entry::Alarm(_)) => {
                    if let Some(Entry::Alarm(ring)) = wheel.remove(key) {
                        turn.alarms.push(ring);
                    }
                }
                None => {}
            }
        }
        hand_over(wheel);
    }

    /// Does what is due and says what is next and when; nothing for one that ends.
    fn visit(&self, client: &GatewayClient, visit: Visit, turn: &Turn) -> Option<(u64, Visit)> {
        if client.close_reason().is_some() {
            return None;
        }
        let next_ping = self.next_ping(client, turn.now);
        let last_ping = next_ping.saturating_sub(self.interval_ticks);
        match visit {
            Visit::Judge(_) if !client.is_heard() => self.judge(client, visit, turn),
            Visit::Judge(pinged) if pinged >= last_ping => Some((next_ping, Visit::Ping)),
            // Also right behind a judgement that took until the next ping was due.
            Visit::Judge(_) | Visit::Ping => {
                client.ping();
                Some((turn.now + self.timeout_ticks, Visit::Judge(last_ping)))
            }
        }
    }

    /// Closes a client that wasn't heard, if it has had its time.
    fn judge(&self, client: &GatewayClient, visit: Visit, turn: &Turn) -> Option<(u64, Visit)> {
        let again = turn.now + self.timeout_ticks;
        let Some(sent) = client.ping_sent_at() else {
            // It waits behind a message that the client is still taking. If it takes none, `write_timeout` ends it.
            return Some((again, visit));
        };
        let deadline = self.tick_after(sent + self.timeout);
        if deadline > turn.now {
            return Some((deadline, visit));
        }
        if turn.now < turn.lenient_until {
            // The sessions too: the answer may lie unread in the socket.
            return Some((again, visit));
        }
        if client.close(CloseReason::PongTimeout) == CloseReason::PongTimeout {
            self.timeouts.add(1);
        }
        None
    }

    /// The next tick after `now` at the client's own offset in the interval.
    fn next_ping(&self, client: &GatewayClient, now: u64) -> u64 {
        let offset = client.conn_id.bits() % self.interval_ticks;
        let earliest = now + 1;
        let past = (earliest + self.interval_ticks - offset) % self.interval_ticks;
        earliest + (self.interval_ticks - past) % self.interval_ticks
    }

    /// The last tick at or before an instant.
    fn tick_of(&self, instant: Instant) -> u64 {
        (instant.duration_since(self.started).as_nanos() / self.tick.as_nanos()) as u64
    }

    /// The first tick at or after an instant.
    fn tick_after(&self, instant: Instant) -> u64 {
        instant.duration_since(self.started).as_nanos().div_ceil(self.tick.as_nanos()) as u64
    }
}

/// Whoever waits for the lock has it next. Woken only, it would come too late each time, until the turn is over.
fn hand_over<T>(lock: MutexGuard<'_, T>) {
    MutexGuard::unlock_fair(lock);
}

#[cfg(test)]
mod tests;
