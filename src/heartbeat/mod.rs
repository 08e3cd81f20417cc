//! Keeping alive: one task and one wheel for all clients. It asks for pings and judges who didn't answer.
//!
//! Knows clients by weak handles, and nothing of streams: the client sends the ping and says when it went out.

mod wheel;

use wheel::{Key, TimerWheel};

use crate::client::{CloseReason, GatewayClient, SessionStats};
use crate::config;
use crate::metrics::Counter;
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
const CLIENTS_PER_BATCH: usize = 64;

/// Time and ticks between two pieces of work beyond which this process stood still: suspended, stopped, or without a
/// processor.
const STALL: Duration = Duration::from_millis(100);
const STALL_TICKS: u64 = 3;

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
    stall_ticks: u64,
    /// Clients closed as [`CloseReason::PongTimeout`].
    timeouts: Counter,
    stats: Arc<SessionStats>,
    /// Wakes the task when the wheel is no longer empty.
    watched: Notify,
}

/// What is in the wheel.
enum Entry {
    /// A client, to be rescheduled.
    Client { client: Weak<GatewayClient>, next: Step },
    /// What is to be done once.
    Timer(Box<dyn FnOnce() + Send>),
}

/// What the heartbeat does when a client's deadline comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Ask for a ping.
    Ping,
    /// See whether anything came since the ping that was due at this tick.
    CheckPong(u64),
}

/// The last piece of a batch of the wheel, and room for the next one's work.
#[derive(Default)]
struct Batch {
    now: u64,
    /// Not all who are due were rescheduled.
    has_more: bool,
    /// The process stood still a moment ago: until then nobody is judged.
    grace_until: u64,
    due: Vec<Key>,
    visits: Vec<(Key, Arc<GatewayClient>, Step)>,
    timers: Vec<Box<dyn FnOnce() + Send>>,
    /// What came of the visits: what is next, and when.
    rescheduled: Vec<(Key, u64, Step)>,
}

/// A client's place in the wheel, or an alarm's; dropping it takes that out.
#[must_use = "dropping it ends the pings, or the alarm"]
pub struct TimerGuard {
    heartbeat: Arc<Heartbeat>,
    key: Key,
}

impl Drop for TimerGuard {
    fn drop(&mut self) {
        self.heartbeat.wheel.lock().remove(self.key);
    }
}

impl Heartbeat {
    /// A wheel with no clients. Pongs and round trips are counted in `stats` by the sessions.
    pub fn new(settings: &config::HeartbeatConfig, stats: Arc<SessionStats>) -> Self {
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
            stall_ticks: ticks(STALL).max(STALL_TICKS).min(timeout_ticks.div_ceil(2)),
            timeouts: Counter::default(),
            stats,
            watched: Notify::new(),
        }
    }

    /// Pings a client until the returned guard is dropped: first somewhere within the interval, spread by the
    /// client's random ID, then always at that offset.
    pub fn register(self: &Arc<Self>, client: &Arc<GatewayClient>) -> TimerGuard {
        self.register_from(self.tick_of(Instant::now()), client)
    }

    fn register_from(self: &Arc<Self>, now: u64, client: &Arc<GatewayClient>) -> TimerGuard {
        let first = self.next_ping(client, now);
        self.insert(Entry::Client { client: Arc::downgrade(client), next: Step::Ping }, first)
    }

    /// Does something after a time, at most a tick (100 ms or less) later, unless the returned guard is dropped before. It
    /// is done on the heartbeat's task: it must not take long.
    pub fn schedule(self: &Arc<Self>, after: Duration, callback: impl FnOnce() + Send + 'static) -> TimerGuard {
        self.insert(Entry::Timer(Box::new(callback)), self.tick_after(Instant::now() + after))
    }

    fn insert(self: &Arc<Self>, entry: Entry, deadline: u64) -> TimerGuard {
        let key = self.wheel.lock().insert(entry, deadline);
        self.watched.notify_one();
        TimerGuard { heartbeat: self.clone(), key }
    }

    /// Clients closed because they didn't answer.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.get()
    }

    /// Turns the wheel for ever; a task of its own.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut batch, mut rotated) = (Batch::default(), 0);
        loop {
            if self.wheel.lock().is_empty() {
                self.watched.notified().await;
                batch.now = self.tick_of(Instant::now());
            }
            if batch.has_more {
                tokio::task::yield_now().await;
            } else {
                ticks.tick().await;
            }
            // By the clock, not tick by tick: a batch longer than a tick goes on with what came due meanwhile.
            self.run_batch(&mut batch, self.tick_of(Instant::now()));
            if batch.now >= rotated + self.interval_ticks {
                rotated = batch.now;
                self.stats.round_trips.rotate();
            }
        }
    }

    /// Visits a piece's worth of those who are due. The lock is not held while clients are asked.
    fn run_batch(&self, batch: &mut Batch, now: u64) {
        // A standstill lasts until all who came due in it were rescheduled: the sessions have as much to catch up with.
        let still_stands = batch.has_more && batch.now < batch.grace_until;
        if still_stands || now > batch.now + self.stall_ticks {
            batch.grace_until = now + self.stall_ticks;
        }
        batch.now = now;
        self.take_due(batch);
        for callback in batch.timers.drain(..) {
            callback();
        }
        let mut visits = std::mem::take(&mut batch.visits);
        for (key, client, visit) in visits.drain(..) {
            if let Some((deadline, next)) = self.visit(&client, visit, batch) {
                batch.rescheduled.push((key, deadline, next));
            }
        }
        batch.visits = visits;
        let mut wheel = self.wheel.lock();
        for (key, deadline, next) in batch.rescheduled.drain(..) {
            if let Some(Entry::Client { next: visit, .. }) = wheel.get_mut(key) {
                *visit = next;
                wheel.schedule(key, deadline);
            }
        }
        MutexGuard::unlock_fair(wheel);
    }

    /// Takes a piece's worth of those who are due from the wheel.
    fn take_due(&self, batch: &mut Batch) {
        let mut wheel = self.wheel.lock();
        batch.has_more = !wheel.advance(batch.now, CLIENTS_PER_BATCH, &mut batch.due);
        // Upgrading a handle waits for its client's memory. Looking at all of them first doesn't: the processor fetches many
        // at a time.
        for key in &batch.due {
            if let Some(Entry::Client { client, .. }) = wheel.get(*key) {
                black_box(client.strong_count());
            }
        }
        for key in batch.due.drain(..) {
            match wheel.get(key) {
                Some(Entry::Client { client, next }) => {
                    batch.visits.extend(client.upgrade().map(|client| (key, client, *next)));
                }
                Some(Entry::Timer(_)) => {
                    if let Some(Entry::Timer(callback)) = wheel.remove(key) {
                        batch.timers.push(callback);
                    }
                }
                None => {}
            }
        }
        MutexGuard::unlock_fair(wheel);
    }

    /// Does what is due and says what is next and when; nothing for one that ends.
    fn visit(&self, client: &GatewayClient, visit: Step, batch: &Batch) -> Option<(u64, Step)> {
        if client.close_reason().is_some() {
            return None;
        }
        let next_ping = self.next_ping(client, batch.now);
        let last_ping = next_ping.saturating_sub(self.interval_ticks);
        match visit {
            Step::CheckPong(_) if !client.is_active() => self.check_pong(client, visit, batch),
            Step::CheckPong(pinged) if pinged >= last_ping => Some((next_ping, Step::Ping)),
            // Also right behind a judgement that took until the next ping was due.
            Step::CheckPong(_) | Step::Ping => {
                client.ping();
                Some((batch.now + self.timeout_ticks, Step::CheckPong(last_ping)))
            }
        }
    }

    /// Closes a client that wasn't heard, if it has had its time.
    fn check_pong(&self, client: &GatewayClient, visit: Step, batch: &Batch) -> Option<(u64, Step)> {
        let again = batch.now + self.timeout_ticks;
        let Some(sent) = client.ping_sent_at() else {
            // It waits behind a message that the client is still taking. If it takes none, `write_timeout` ends it.
            return Some((again, visit));
        };
        let deadline = self.tick_after(sent + self.timeout);
        if deadline > batch.now {
            return Some((deadline, visit));
        }
        if batch.now < batch.grace_until {
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

#[cfg(test)]
mod tests;
