//! The heartbeat: one task with one timer wheel requests the pings to all clients and closes the clients that don't
//! answer. The task runs one-shot timers too.
//!
//! It holds weak handles to clients and knows nothing of streams: each client's outbox writes the pings and records
//! when each was written.

mod wheel;

pub use wheel::{Key, TimerWheel};

use crate::client::{CloseReason, GatewayClient, SessionStats};
use crate::config::LiveConfig;
use crate::metrics::Counter;
use crate::registry::prefetch;
use parking_lot::{Mutex, MutexGuard};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// The longest tick.
const MAX_TICK: Duration = Duration::from_millis(100);
/// The shortest tick.
const MIN_TICK: Duration = Duration::from_millis(1);
/// Between those bounds, the shorter of interval and timeout takes this many ticks.
const TICKS: u32 = 50;

/// The part of a lifetime that is random: one in this many.
const LIFETIME_JITTER: u64 = 10;

/// The most entries handled before the task yields. A ping may be a system call.
const CLIENTS_PER_BATCH: usize = 64;

/// If two batches start further apart than this, the process is considered stalled: suspended, stopped, or short of
/// CPU. The time is raised to [`MIN_STALL_TICKS`] if that is longer, and then lowered to half of the timeout if that is
/// shorter.
const STALL: Duration = Duration::from_millis(100);
/// See [`STALL`].
const MIN_STALL_TICKS: u64 = 3;

/// The timer wheel with all clients, and its settings in ticks.
pub struct Heartbeat {
    wheel: Mutex<TimerWheel<Entry>>,
    /// The time of tick 0.
    started: Instant,
    tick: Duration,
    timeout: Duration,
    interval_ticks: u64,
    timeout_ticks: u64,
    config: Arc<LiveConfig>,
    /// More ticks than this between two batches are a stall.
    stall_ticks: u64,
    /// Clients closed with [`CloseReason::PongTimeout`].
    timeouts: Counter,
    stats: Arc<SessionStats>,
    /// Wakes the task when an entry is added.
    added: Notify,
}

/// An entry of the wheel.
enum Entry {
    /// A client and what to do at its deadline. It is scheduled again after each visit.
    Client { client: Weak<GatewayClient>, next: Step },
    /// A callback that runs once.
    Timer(Box<dyn FnOnce() + Send>),
}

/// What the heartbeat does when a client's deadline comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Request a ping.
    Ping,
    /// Check whether anything was received since the ping that was due at this tick.
    CheckPong(u64),
}

/// A step of a client, and the tick at which it is due.
#[derive(Clone, Copy)]
struct NextStep {
    deadline: u64,
    step: Step,
}

/// When a client must be closed.
struct Expiry {
    tick: u64,
    reason: CloseReason,
}

/// The state of the wheel's task, with buffers that are reused for each batch.
#[derive(Default)]
struct Batch {
    /// The tick at which the batch started.
    now: u64,
    /// Whether entries that were due didn't fit into the batch.
    has_more: bool,
    /// Until this tick, no client is closed, because the process was stalled.
    grace_until: u64,
    due: Vec<Key>,
    visits: Vec<(Key, Arc<GatewayClient>, Step)>,
    timers: Vec<Box<dyn FnOnce() + Send>>,
    rescheduled: Vec<(Key, NextStep)>,
}

/// A client or timer registered with the heartbeat. Dropping it ends the pings, or cancels the timer.
#[must_use = "dropping it ends the pings, or cancels the timer"]
pub struct TimerGuard {
    heartbeat: Arc<Heartbeat>,
    key: Key,
}

impl Drop for TimerGuard {
    fn drop(&mut self) {
        // The entry is dropped after the lock is released, because its callback may own anything, even another guard,
        // whose drop takes the lock.
        let _entry = self.heartbeat.wheel.lock().remove(self.key);
    }
}

impl Heartbeat {
    /// A heartbeat without clients. Once each interval it starts a new window of `stats.round_trips`. The interval and
    /// the timeout stay those that are configured now.
    pub fn new(config: Arc<LiveConfig>, stats: Arc<SessionStats>) -> Self {
        let settings = config.load().heartbeat.clone();
        let shorter = settings.interval.min(settings.timeout);
        let tick = (shorter / TICKS).clamp(MIN_TICK, MAX_TICK);
        let ticks = |duration: Duration| ticks_of(duration, tick);
        let timeout_ticks = ticks(settings.timeout).max(1);
        Heartbeat {
            wheel: Mutex::default(),
            started: Instant::now(),
            tick,
            timeout: settings.timeout,
            interval_ticks: ticks(settings.interval).max(1),
            timeout_ticks,
            config,
            stall_ticks: ticks(STALL).max(MIN_STALL_TICKS).min(timeout_ticks.div_ceil(2)),
            timeouts: Counter::default(),
            stats,
            added: Notify::new(),
        }
    }

    /// Pings a client once each interval until the returned guard is dropped. The offset in the interval comes from the
    /// client's random ID, so that clients that connected together are not pinged together.
    pub fn register(self: &Arc<Self>, client: &Arc<GatewayClient>) -> TimerGuard {
        self.register_at(self.tick_of(Instant::now()), client)
    }

    fn register_at(self: &Arc<Self>, now: u64, client: &Arc<GatewayClient>) -> TimerGuard {
        let first = self.next_ping(client, now).min(self.expiry(client, now).tick);
        self.insert(Entry::Client { client: Arc::downgrade(client), next: Step::Ping }, first)
    }

    /// Runs `callback` once after this time, or up to one tick (at most 100 ms) later, unless the returned guard is
    /// dropped first. It runs on the heartbeat's task, so it must be fast.
    pub fn schedule(self: &Arc<Self>, after: Duration, callback: impl FnOnce() + Send + 'static) -> TimerGuard {
        self.insert(Entry::Timer(Box::new(callback)), self.tick_after(Instant::now() + after))
    }

    fn insert(self: &Arc<Self>, entry: Entry, deadline: u64) -> TimerGuard {
        let key = self.wheel.lock().insert(entry, deadline);
        self.added.notify_one();
        TimerGuard { heartbeat: self.clone(), key }
    }

    /// The number of clients closed with [`CloseReason::PongTimeout`].
    pub fn timeouts(&self) -> u64 {
        self.timeouts.get()
    }

    /// Advances the wheel forever. Runs as a task of its own.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval_at(self.started.into(), self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut batch, mut rotated_at) = (Batch::default(), 0);
        loop {
            if self.wheel.lock().is_empty() {
                self.added.notified().await;
                batch.now = self.tick_of(Instant::now());
            }
            if batch.has_more {
                tokio::task::yield_now().await;
            } else {
                ticks.tick().await;
            }
            // The clock decides, not the number of ticks: a batch that took longer than a tick is followed by one with
            // everything that became due meanwhile.
            self.run_batch(&mut batch, self.tick_of(Instant::now()));
            if batch.now >= rotated_at + self.interval_ticks {
                rotated_at = batch.now;
                self.stats.round_trips.rotate();
            }
        }
    }

    /// Visits up to [`CLIENTS_PER_BATCH`] entries that are due. The wheel isn't locked during the visits.
    fn run_batch(&self, batch: &mut Batch, now: u64) {
        // The grace period lasts until all entries that became due during the stall have been visited: the sessions
        // have just as much to catch up on.
        let in_grace = batch.has_more && batch.now < batch.grace_until;
        if in_grace || now > batch.now + self.stall_ticks {
            batch.grace_until = now + self.stall_ticks;
        }
        batch.now = now;
        self.take_due(batch);
        for callback in batch.timers.drain(..) {
            callback();
        }
        let mut visits = std::mem::take(&mut batch.visits);
        for (key, client, step) in visits.drain(..) {
            batch.rescheduled.extend(self.visit(&client, step, batch).map(|next| (key, next)));
        }
        batch.visits = visits;
        let mut wheel = self.wheel.lock();
        for (key, NextStep { deadline, step }) in batch.rescheduled.drain(..) {
            if let Some(Entry::Client { next, .. }) = wheel.get_mut(key) {
                *next = step;
                wheel.schedule(key, deadline);
            }
        }
        MutexGuard::unlock_fair(wheel);
    }

    /// Takes up to [`CLIENTS_PER_BATCH`] due entries from the wheel.
    fn take_due(&self, batch: &mut Batch) {
        let mut wheel = self.wheel.lock();
        batch.has_more = !wheel.advance(batch.now, CLIENTS_PER_BATCH, &mut batch.due);
        prefetch(batch.due.iter().filter_map(|key| match wheel.get(*key) {
            Some(Entry::Client { client, .. }) => Some(client.strong_count()),
            Some(Entry::Timer(_)) | None => None,
        }));
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

    /// Runs a client's step and returns the next one; `None` if the client is closing.
    fn visit(&self, client: &GatewayClient, step: Step, batch: &Batch) -> Option<NextStep> {
        if client.close_reason().is_some() {
            return None;
        }
        let expiry = self.expiry(client, batch.now);
        if expiry.tick <= batch.now {
            client.close(expiry.reason);
            return None;
        }
        let next = self.visit_active(client, step, batch)?;
        Some(NextStep { deadline: next.deadline.min(expiry.tick), ..next })
    }

    /// The same for a client that may stay connected.
    fn visit_active(&self, client: &GatewayClient, step: Step, batch: &Batch) -> Option<NextStep> {
        let next_ping = self.next_ping(client, batch.now);
        let last_ping = next_ping.saturating_sub(self.interval_ticks);
        match step {
            Step::CheckPong(_) if !client.is_active() => self.check_pong(client, step, batch),
            Step::CheckPong(pinged_at) if pinged_at >= last_ping => {
                Some(NextStep { deadline: next_ping, step: Step::Ping })
            }
            // A check that ran late may have reached the time of the next ping: that ping follows at once.
            Step::CheckPong(_) | Step::Ping => {
                client.ping();
                let deadline = batch.now + self.timeout_ticks;
                Some(NextStep { deadline, step: Step::CheckPong(last_ping) })
            }
        }
    }

    /// Closes a client that has been silent since its ping, if the deadline for the pong has passed. Otherwise returns
    /// the next check.
    fn check_pong(&self, client: &GatewayClient, step: Step, batch: &Batch) -> Option<NextStep> {
        let check_again = NextStep { deadline: batch.now + self.timeout_ticks, step };
        let Some(sent) = client.ping_sent_at() else {
            // The ping can't be written yet, because the peer hasn't read enough of what was written before. If the
            // peer reads nothing, `write_timeout` closes it.
            return Some(check_again);
        };
        let deadline = self.tick_after(sent + self.timeout);
        if deadline > batch.now {
            return Some(NextStep { deadline, step });
        }
        if batch.now < batch.grace_until {
            // The sessions were stalled too: the pong may be unread in the socket.
            return Some(check_again);
        }
        if client.close(CloseReason::PongTimeout) == CloseReason::PongTimeout {
            self.timeouts.add(1);
        }
        None
    }

    /// When a client must be closed, whatever it does.
    fn expiry(&self, client: &GatewayClient, now: u64) -> Expiry {
        let never = Expiry { tick: u64::MAX, reason: CloseReason::MaxLifetime };
        let lifetime = match ticks_of(self.config.load().limits.max_lifetime, self.tick) {
            0 => never,
            ticks => {
                let jitter = client.conn_id.bits() % (ticks / LIFETIME_JITTER + 1);
                let connected_at = self.tick_of(client.connected_at.instant());
                Expiry { tick: connected_at + ticks - jitter, reason: CloseReason::MaxLifetime }
            }
        };
        let Some(not_after) = client.auth.not_after() else { return lifetime };
        // Looked at again at each visit, because the system clock can be set.
        let left = not_after.duration_since(SystemTime::now()).unwrap_or_default();
        let tick = now + ticks_of(left, self.tick);
        let credential = Expiry { tick, reason: CloseReason::CredentialRevoked };
        if credential.tick < lifetime.tick { credential } else { lifetime }
    }

    /// The first tick after `now` at the client's own offset in the interval.
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
        ticks_of(instant.duration_since(self.started), self.tick)
    }
}

/// The ticks that a duration takes, rounded up.
fn ticks_of(duration: Duration, tick: Duration) -> u64 {
    duration.as_nanos().div_ceil(tick.as_nanos()) as u64
}

#[cfg(test)]
mod tests;
