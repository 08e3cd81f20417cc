//! Charging work to the current task's coop budget, so that long loops yield to other tasks.

use std::task::{Context, Poll, Waker};
use tokio::task::coop;

/// The number of visits that cost as much as one write to a socket.
const VISITS_PER_WRITE: usize = 64;

/// Charges the current task for `visits`. A visit is one client, presence key or closed connection examined, or one
/// message enqueued.
pub fn charge(visits: usize) {
    for _ in 0..visits.div_ceil(VISITS_PER_WRITE) {
        if !try_take() {
            return;
        }
    }
}

/// Takes one unit of budget, for one write to a socket. Returns whether the current task had one left; always true
/// outside a task.
pub fn try_take() -> bool {
    // Without budget, `poll_proceed` would only defer a call of the no-op waker.
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

/// Whether the current task has used up its budget and should yield; always false outside a task.
pub fn is_spent() -> bool {
    !coop::has_budget_remaining()
}
