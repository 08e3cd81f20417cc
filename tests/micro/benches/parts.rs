//! Each part by itself, for a closer look at one: `cargo bench --bench parts -- registry`.
//!
//! The comparison that counts is the other benchmark, `ratios`: it lets the rivals take turns.

#![allow(missing_docs)]

use aisopod_micro::maps::{Clients, DashById, DashByText, DashRegistry, Full, OneLock, Registry, clients};
use aisopod_micro::queues::{Channel, Ours, Plain, Queue};
use aisopod_micro::rpc;
use aisopod_micro::timers::{Delays, Heap, Intervals, Timers, Wheel};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use std::cell::Cell;

/// Clients that are there all the time.
const MANY: usize = 100_000;
const THREADS: [usize; 2] = [1, 4];

fn main() {
    divan::main();
}

#[divan::bench_group(max_time = 0.4)]
mod registry {
    use super::*;

    fn full<M: Clients>() -> Full<M> {
        Full::new(&clients(MANY))
    }

    #[divan::bench(types = [Registry, DashById, DashRegistry, DashByText, OneLock], threads = THREADS)]
    fn get<M: Clients>(bencher: Bencher) {
        let full = full::<M>();
        thread_local!(static NEXT: Cell<usize> = const { Cell::new(0) });
        bencher.bench(|| {
            let next = NEXT.get();
            NEXT.set((next + 1) % MANY);
            full.map.get(&full.keys[next]).expect("it is there")
        });
    }

    #[divan::bench(types = [Registry, DashById, DashRegistry, DashByText, OneLock], threads = THREADS)]
    fn come_and_go<M: Clients>(bencher: Bencher) {
        let Full { map, .. } = &full::<M>();
        bencher.with_inputs(|| clients(1).remove(0)).bench_refs(|client| {
            let key = M::key(client);
            drop(map.come(&key, client));
            map.go(&key);
        });
    }

    #[divan::bench(types = [Registry, DashById, DashRegistry, DashByText, OneLock])]
    fn list<M: Clients>(bencher: Bencher) {
        let Full { map, .. } = &full::<M>();
        bencher.bench(|| map.list());
    }

    #[divan::bench(types = [Registry, DashById, DashRegistry, DashByText, OneLock])]
    fn counts<M: Clients>(bencher: Bencher) {
        let Full { map, .. } = &full::<M>();
        bencher.bench(|| black_box(map).counts());
    }
}

#[divan::bench(types = [Wheel, Heap, Delays, Intervals], max_time = 0.4)]
fn timers<T: Timers>(bencher: Bencher) {
    let mut timers = T::new(MANY);
    bencher.counter(ItemsCount::new(MANY)).bench_local(|| timers.go_round());
}

#[divan::bench(types = [Ours, Plain, Channel], args = [1, 64], max_time = 0.4)]
fn outbox<Q: Queue>(bencher: Bencher, burst: usize) {
    let (mut queue, message) = (Q::default(), rpc::SHORT.into());
    bencher.counter(ItemsCount::new(burst)).bench_local(|| {
        (0..burst).for_each(|_| queue.push(Clone::clone(&message)));
        (0..burst).for_each(|_| drop(black_box(queue.pop())));
    });
}

#[divan::bench_group(max_time = 0.4)]
mod envelope {
    use super::*;

    #[divan::bench(args = ["short", "with params"])]
    fn ours(bencher: Bencher, which: &str) {
        let text = request(which);
        bencher.bench(|| rpc::by_envelope(&text));
    }

    #[divan::bench(args = ["short", "with params"])]
    fn values(bencher: Bencher, which: &str) {
        let text = request(which);
        bencher.bench(|| rpc::by_values(&text));
    }

    fn request(which: &str) -> String {
        if which == "short" { rpc::SHORT.to_owned() } else { rpc::long() }
    }
}
