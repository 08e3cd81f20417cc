//! The coop budget of the current task: work is charged to it, so that other tasks run in between.

use std::task::{Context, Poll, Waker};
use tokio::task::coop;

/// Visits of clients that take as long as one write to a socket.
const VISITS_PER_WRITE: usize = 64;

/// Charges `visits` to the current task: each is one client examined, or one message enqueued.
pub fn charge(visits: usize) {
    for _ in 0..visits.div_ceil(VISITS_PER_WRITE) {
        if !try_take() {
            return;
        }
    }
}

/// Takes the budget of one write to a socket. Returns whether the current task had that much left; outside a task it
/// always has.
pub fn try_take() -> bool {
    // With nothing left, `poll_proceed` would call the waker, and this one wakes no task.
    if is_spent() {
        return false;
    }
    match coop::poll_proceed(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(unit) => {
            unit.made_progress();
            true
        }
        Poll::Pending => false,
    }
}

/// Whether the current task has used up its budget and should yield; outside a task it never has.
pub fn is_spent() -> bool {
    !coop::has_budget_remaining()
}
