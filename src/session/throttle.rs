//! The rate limit of one client: GCRA, the generic cell rate algorithm, for messages and for bytes.

use super::limits::RateSnapshot;
use super::{Session, State};
use crate::budget;
use crate::client::{CloseReason, Signals};
use crate::clock::Timestamp;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_tungstenite::tungstenite;

/// Whether a client's next message may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RateState {
    Open,
    /// Not before this time has passed.
    Paused(Duration),
    /// The client has exceeded the rate for too long.
    Exceeded,
}

/// What one client has sent, measured by its limits.
#[derive(Debug, Default)]
pub struct Throttle {
    /// The theoretical arrival times, in nanoseconds of [`Timestamp`]: when everything sent so far would have arrived
    /// at the limited rate.
    messages_tat: u64,
    bytes_tat: u64,
    /// When reading was first paused, unless the client has been within its rate since.
    paused_since: Option<u64>,
}

impl Throttle {
    fn add(&mut self, limits: &RateSnapshot, messages: u64, bytes: u64, now: u64) {
        self.messages_tat = self.messages_tat.max(now) + messages * limits.nanos_per_message;
        self.bytes_tat = self.bytes_tat.max(now) + (bytes as f64 * limits.nanos_per_byte) as u64;
    }

    fn state(&mut self, limits: &RateSnapshot, now: u64) -> RateState {
        let ahead = self.messages_tat.max(self.bytes_tat).saturating_sub(now);
        let wait = ahead.saturating_sub(limits.burst.as_nanos() as u64);
        if wait == 0 {
            return RateState::Open;
        }
        let paused = Duration::from_nanos(now - *self.paused_since.get_or_insert(now));
        if paused > limits.timeout { RateState::Exceeded } else { RateState::Paused(Duration::from_nanos(wait)) }
    }
}

impl Session {
    /// `None` if the client is within its rate. Otherwise the result of reading: `Pending` until it is within its rate
    /// again, or a close request if it has exceeded the rate for too long.
    ///
    /// While reading is paused, the client's pongs aren't read either, so it counts as active.
    pub(super) fn poll_rate(&mut self, cx: &mut Context<'_>, signals: Signals) -> Option<Poll<State>> {
        loop {
            let throttle = self.throttle.as_mut()?;
            let state = throttle.state(&self.context.limits.rate.get()?, Timestamp::now().nanos());
            match state {
                RateState::Open => return None,
                RateState::Exceeded => {
                    self.client.close(CloseReason::RateLimited);
                    return Some(Poll::Ready(State::Open));
                }
                RateState::Paused(wait) => {
                    self.client.activity.set_busy();
                    // While the socket is blocked, the timer is that of its timeout: reading then continues when the
                    // socket accepts more.
                    if signals.blocked {
                        return Some(Poll::Pending);
                    }
                    self.arm_timer(wait);
                    if self.poll_timer(cx).is_pending() {
                        return Some(Poll::Pending);
                    }
                }
            }
        }
    }

    /// Counts `bytes` that were read, and the message if there is one.
    pub(super) fn count_rate<E>(&mut self, bytes: u64, polled: &Poll<Result<tungstenite::Message, E>>) {
        let Some(limits) = self.context.limits.rate.get() else { return };
        let throttle = self.throttle.get_or_insert_default();
        throttle.add(&limits, u64::from(polled.is_ready()), bytes, Timestamp::now().nanos());
        if polled.is_pending() && !budget::is_spent() {
            // Everything that the client has sent was read: it is within its rate.
            throttle.paused_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::limits::SessionLimits;

    const SECOND: u64 = 1_000_000_000;

    fn limits(messages: usize, bytes: usize) -> RateSnapshot {
        let mut limits = crate::config::Config::new(100).limits;
        (limits.max_messages_per_second, limits.max_bytes_per_second) = (messages, bytes);
        (limits.rate_burst, limits.rate_timeout) = (Duration::from_secs(2), Duration::from_secs(10));
        SessionLimits::new(&limits).rate.get().unwrap()
    }

    #[test]
    fn client_may_send_a_burst_and_then_the_rate() {
        for (limits, messages, bytes) in [(limits(10, 0), 20, 1_000_000), (limits(0, 1000), 1_000_000, 2000)] {
            let mut throttle = Throttle::default();
            throttle.add(&limits, messages, bytes, SECOND);
            assert_eq!(throttle.state(&limits, SECOND), RateState::Open);
            throttle.add(&limits, messages / 2, bytes / 2, SECOND);
            assert_eq!(throttle.state(&limits, SECOND), RateState::Paused(Duration::from_secs(1)));
            assert_eq!(throttle.state(&limits, 2 * SECOND), RateState::Open);
            throttle.add(&limits, messages, bytes, 100 * SECOND);
            assert_eq!(throttle.state(&limits, 100 * SECOND), RateState::Open, "an idle client has its burst again");
        }
    }

    #[test]
    fn client_that_never_catches_up_exceeds_the_rate_after_the_timeout() {
        let (limits, mut throttle) = (limits(10, 0), Throttle::default());
        for second in 1..=12 {
            throttle.add(&limits, 30, 0, second * SECOND);
            let state = throttle.state(&limits, second * SECOND);
            assert_eq!(state == RateState::Exceeded, second == 12, "{state:?} at {second} s");
        }
        assert!(
            SessionLimits::new(&crate::config::Config::new(100).limits).rate.get().is_none(),
            "there is no limit by default"
        );
    }
}
