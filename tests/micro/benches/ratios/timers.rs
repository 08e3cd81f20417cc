//! The wheel beside a heap, tokio-util's queue, and an interval for each entry.

use crate::contest::{Contender, Scores};
use aisopod_micro::timers::{Delays, Heap, Intervals, Timers, Wheel};
use std::cell::RefCell;
use std::time::Instant;

/// Compares what it costs that an entry comes due and is scheduled again.
pub fn measure(scores: &mut Scores) {
    for (count, rounds) in [(100_000, 9), (1_000_000, 3)] {
        let contenders = vec![
            contender::<Wheel>("wheel", count),
            contender::<Heap>("BinaryHeap", count),
            contender::<Delays>("DelayQueue", count),
            contender::<Intervals>("an interval each", count),
        ];
        scores.contest(format!("wheel: schedule and fire, of {count}"), "ns", rounds, contenders);
    }
}

fn contender<T: Timers + 'static>(name: &'static str, count: usize) -> Contender<'static> {
    let timers = RefCell::new(T::new(count));
    Contender::new(name, move || {
        let began = Instant::now();
        let fired = timers.borrow_mut().go_round();
        let time = began.elapsed();
        assert_eq!(fired, count, "{name} lets everything come due once");
        time.as_secs_f64() * 1e9 / count as f64
    })
}
