//! The outbox beside a plain queue and a channel: what a message costs, and what an idle one weighs.

use crate::contest::{Contender, Scores};
use crate::resident::resident_bytes;
use aisopod_gateway::Utf8Bytes;
use aisopod_micro::queues::{Channel, Ours, Plain, Queue};
use aisopod_micro::rpc;
use std::hint::black_box;
use std::time::Instant;

const MESSAGES: usize = 256 * 1024;
const ROUNDS: usize = 15;
/// Idle queues, of which the mean counts.
const IDLE: usize = 5_000;

/// Compares what a message costs.
pub fn measure(scores: &mut Scores) {
    for burst in [1, 64] {
        let contenders = vec![
            Contender::new("outbox", || push_and_pop::<Ours>(burst)),
            Contender::new("Mutex<VecDeque>", || push_and_pop::<Plain>(burst)),
            Contender::new("tokio mpsc", || push_and_pop::<Channel>(burst)),
        ];
        scores.contest(format!("outbox: push and pop, in bursts of {burst}"), "ns", ROUNDS, contenders);
    }
}

/// Compares what idle ones weigh.
pub fn weigh(scores: &mut Scores) {
    for (used, what) in [(false, "outbox: a new one"), (true, "outbox: one that was used")] {
        let contenders = vec![
            Contender::new("outbox", || idle::<Ours>(used)),
            Contender::new("Mutex<VecDeque>", || idle::<Plain>(used)),
            Contender::new("tokio mpsc", || idle::<Channel>(used)),
        ];
        scores.contest(what, "bytes", 1, contenders);
    }
}

fn push_and_pop<Q: Queue>(burst: usize) -> f64 {
    let (mut queue, message) = (Q::default(), Utf8Bytes::from(rpc::SHORT));
    let began = Instant::now();
    for _ in 0..MESSAGES / burst {
        (0..burst).for_each(|_| queue.push(message.clone()));
        (0..burst).for_each(|_| drop(black_box(queue.pop())));
    }
    began.elapsed().as_secs_f64() * 1e9 / MESSAGES as f64
}

/// Resident bytes of an idle queue.
fn idle<Q: Queue>(used: bool) -> f64 {
    let mut queues = Vec::with_capacity(IDLE);
    let before = resident_bytes();
    for _ in 0..IDLE {
        let mut queue = Q::default();
        if used {
            queue.push(Utf8Bytes::from_static(rpc::SHORT));
            queue.pop();
        }
        queues.push(queue);
    }
    let after = resident_bytes();
    // Kept: the next one's are to take new memory.
    std::mem::forget(queues);
    (after - before) / IDLE as f64
}
