//! Timers for very many entries: the wheel, and three that it could have been.
//!
//! Each keeps entries spread over an interval of [`INTERVAL`] ticks, lets all of them come due once, and schedules them
//! again.

use crate::wheel::{Key, TimerWheel};
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::{Instant, interval_at, sleep};
use tokio_util::time::DelayQueue;

/// Ticks in an interval: 30 s in steps of 100 ms.
pub const INTERVAL: u64 = 300;
const TICK: Duration = Duration::from_millis(100);

/// The wheel hands out so many at once, as in the heartbeat.
const PIECE: usize = 64;

/// Timers, each of which is due once in every interval.
pub trait Timers {
    /// So many.
    fn new(count: usize) -> Self;
    /// Goes through one interval, and returns how many came due.
    fn go_round(&mut self) -> usize;
}

/// Where in the interval an entry is due: neighbours in memory are not neighbours in time, as with random IDs.
fn offset(index: usize) -> u64 {
    (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % INTERVAL + 1
}

/// The gateway's.
pub struct Wheel {
    wheel: TimerWheel<usize>,
    now: u64,
    due: Vec<Key>,
}

impl Timers for Wheel {
    fn new(count: usize) -> Self {
        let mut wheel = TimerWheel::default();
        for index in 0..count {
            wheel.insert(index, offset(index));
        }
        Wheel { wheel, now: 0, due: Vec::new() }
    }

    fn go_round(&mut self) -> usize {
        let mut fired = 0;
        for _ in 0..INTERVAL {
            self.now += 1;
            let mut is_done = false;
            while !is_done {
                is_done = self.wheel.advance(self.now, PIECE, &mut self.due);
                for key in self.due.drain(..) {
                    black_box(self.wheel.get(key));
                    self.wheel.schedule(key, self.now + INTERVAL);
                    fired += 1;
                }
            }
        }
        fired
    }
}

/// A heap of deadlines.
pub struct Heap {
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    now: u64,
}

impl Timers for Heap {
    fn new(count: usize) -> Self {
        Heap { heap: (0..count).map(|index| Reverse((offset(index), index))).collect(), now: 0 }
    }

    fn go_round(&mut self) -> usize {
        let mut fired = 0;
        for _ in 0..INTERVAL {
            self.now += 1;
            while let Some(mut first) = self.heap.peek_mut().filter(|first| first.0.0 <= self.now) {
                black_box(first.0.1);
                first.0.0 = self.now + INTERVAL;
                fired += 1;
            }
        }
        fired
    }
}

/// tokio-util's queue.
pub struct Delays {
    runtime: Runtime,
    queue: DelayQueue<usize>,
    count: usize,
}

impl Timers for Delays {
    fn new(count: usize) -> Self {
        let runtime = jumping_clock();
        let mut queue = DelayQueue::with_capacity(count);
        runtime.block_on(async {
            for index in 0..count {
                queue.insert(index, TICK * offset(index) as u32);
            }
        });
        Delays { runtime, queue, count }
    }

    fn go_round(&mut self) -> usize {
        let mut fired = 0;
        self.runtime.block_on(async {
            while fired < self.count {
                let expired = poll_fn(|context| self.queue.poll_expired(context)).await.expect("it is never empty");
                let deadline = expired.deadline() + TICK * INTERVAL as u32;
                self.queue.insert_at(black_box(expired.into_inner()), deadline);
                fired += 1;
            }
        });
        fired
    }
}

/// A task with an interval of its own for each entry.
pub struct Intervals {
    runtime: Runtime,
    tasks: LocalSet,
    fired: Rc<Cell<usize>>,
}

impl Timers for Intervals {
    fn new(count: usize) -> Self {
        let (runtime, tasks, fired) = (jumping_clock(), LocalSet::new(), Rc::new(Cell::new(0)));
        runtime.block_on(tasks.run_until(async {
            let now = Instant::now();
            for index in 0..count {
                let (first, fired) = (now + TICK * offset(index) as u32, fired.clone());
                tokio::task::spawn_local(async move {
                    let mut ticks = interval_at(first, TICK * INTERVAL as u32);
                    loop {
                        ticks.tick().await;
                        fired.set(fired.get() + 1);
                    }
                });
            }
            // Half a tick: everybody has been polled once, and every round ends between two ticks.
            sleep(TICK / 2).await;
        }));
        Intervals { runtime, tasks, fired }
    }

    fn go_round(&mut self) -> usize {
        let before = self.fired.get();
        let interval = async { sleep(TICK * INTERVAL as u32).await };
        self.runtime.block_on(self.tasks.run_until(interval));
        self.fired.get() - before
    }
}

/// A runtime whose clock jumps to the next timer when there is nothing else to do.
fn jumping_clock() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}
