//! Charging work to the current task's coop budget, so that long loops yield to other tasks.
//!
//! A poll of a task begins with 128 units. A unit stands for at most 5 µs of work, a write to a socket, so that a task
//! that obeys its budget runs for less than a millisecond at a time. Work that grows with its input is charged two to
//! ten times as much: so hundreds of clients with large messages, each of which takes its turn, delay another client by
//! a few milliseconds only.

use std::task::{Context, Poll, Waker, ready};
use tokio::task::coop;

/// The number of visits that take about 1 µs, and cost a unit.
const VISITS_PER_UNIT: usize = 16;

/// The number of bytes of JSON that take about 1 µs to parse, and cost a unit.
const PARSED_BYTES_PER_UNIT: usize = 256;

/// Charges the current task for `visits`. A visit is one client, presence key or closed connection examined, one topic
/// named, or one message enqueued.
pub fn charge(visits: usize) {
    charge_units(visits.div_ceil(VISITS_PER_UNIT));
}

/// Charges the current task for parsing or serializing `bytes` bytes of JSON; nothing for less than a unit.
pub fn charge_bytes(bytes: usize) {
    charge_units(bytes / PARSED_BYTES_PER_UNIT);
}

/// Takes `units` of the budget, or as many as are left.
pub fn charge_units(units: usize) {
    for _ in 0..units {
        if !try_take() {
            return;
        }
    }
}

/// Takes one unit of budget, for one write to a socket. Returns whether the current task had one left; always true
/// outside a task.
pub fn try_take() -> bool {
    // Without budget, this defers a call of the no-op waker, at most one for each turn of the worker.
    match coop::poll_proceed(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(unit) => {
            unit.made_progress();
            true
        }
        Poll::Pending => false,
    }
}

/// Takes one unit of budget. `Pending` if none is left: the task then runs again after others have run.
pub fn poll_take(cx: &mut Context<'_>) -> Poll<()> {
    ready!(coop::poll_proceed(cx)).made_progress();
    Poll::Ready(())
}

/// Lets other tasks run if the current task's budget is spent.
pub async fn yield_if_spent() {
    if is_spent() {
        coop::consume_budget().await;
    }
}

/// Whether the current task has used up its budget and should yield; always false outside a task.
pub fn is_spent() -> bool {
    !coop::has_budget_remaining()
}
