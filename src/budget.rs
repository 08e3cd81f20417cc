//! The cooperative budget of the task that runs: work is charged to it, so that one client's work is interleaved with that of others.

use std::task::{Context, Poll, Waker};
use tokio::task::coop;

/// Looks at clients, or queueings for them, that take as long as a write.
const VISITS_PER_WRITE: usize = 64;

/// Charges looking at so many clients to the turn of the task that runs.
pub fn charge(looks: usize) {
    for _ in 0..looks.div_ceil(VISITS_PER_WRITE) {
        if !try_take() {
            return;
        }
    }
}

/// Whether the task that runs may write to one socket more before it lets others have their turn; outside a task always.
pub fn try_take() -> bool {
    // The look first: without a turn left, the other call would wake a task that isn't there.
    if is_spent() {
        return false;
    }
    match coop::poll_proceed(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(turn) => {
            turn.made_progress();
            true
        }
        Poll::Pending => false,
    }
}

/// Whether the task that runs has done so much (looked at clients, queued or written messages) that others are to have their
/// turn; outside a task never.
pub fn is_spent() -> bool {
    !coop::has_budget_remaining()
}
