//! What a session holds of its client's messages, and how it stops reading while memory is scarce.

use super::{Session, State};
use crate::client::Signals;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a client that holds much isn't read while memory is scarce, before this is looked at again.
const PAUSE: Duration = Duration::from_millis(100);

impl Session {
    /// Bytes that the reader holds.
    pub(super) fn reader_bytes(&self) -> usize {
        self.reader.as_ref().map_or(0, |reader| reader.held_bytes())
    }

    /// Enters what the reader holds now into the account of memory.
    pub(super) fn account_reader(&mut self) {
        let (before, after) = (self.accounted as usize, self.reader_bytes());
        if after > before {
            self.client.add_held(after - before);
        } else if after < before {
            self.client.sub_held(before - after);
        }
        self.accounted = after as u32;
    }

    /// `None` if the client may be read: memory isn't scarce, or it holds little. Otherwise the result of reading, which
    /// is `Pending` for a while; the largest holders are closed meanwhile.
    pub(super) fn poll_memory(&mut self, cx: &mut Context<'_>, signals: Signals) -> Option<Poll<State>> {
        loop {
            let share = self.client.outbox.memory().share();
            if share == u64::MAX || self.client.held_bytes().max(self.reader_bytes() as u64) <= share {
                self.reader.iter_mut().for_each(|reader| reader.set_max_held(share));
                return None;
            }
            self.client.activity.set_busy();
            // While the socket is blocked, the timer is that of its timeout: reading then continues when the socket
            // accepts more.
            if signals.blocked {
                return Some(Poll::Pending);
            }
            self.arm_timer(PAUSE);
            if self.poll_timer(cx).is_pending() {
                return Some(Poll::Pending);
            }
        }
    }
}
