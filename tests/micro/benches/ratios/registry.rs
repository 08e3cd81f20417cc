//! The registry, with 100,000 clients in it, beside `DashMap` and one lock.

use crate::contest::{Contender, Scores};
use aisopod_gateway::GatewayClient;
use aisopod_micro::maps::{Clients, DashById, DashByText, DashRegistry, Full, OneLock, Registry, clients};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// Clients that are there all the time.
const MANY: usize = 100_000;
/// Those that each thread lets come and go.
const COMING: usize = 2_000;
/// How often they do,
const TIMES: usize = 10;
/// and how many of them at once.
const FEW: usize = 50;
/// How often everybody is looked up.
const LOOKUPS: usize = 5;
const THREADS: usize = 4;
const ROUNDS: usize = 15;

/// Compares each measure.
pub fn measure(scores: &mut Scores) {
    let (all, extra) = (clients(MANY), clients(THREADS * COMING));
    let (registry, by_id) = (Rival::<Registry>::new(&all, &extra), Rival::<DashById>::new(&all, &extra));
    let counted = Rival::<DashRegistry>::new(&all, &extra);
    let (by_text, one_lock) = (Rival::<DashByText>::new(&all, &extra), Rival::<OneLock>::new(&all, &extra));
    macro_rules! compare {
        ($what:expr, $unit:expr, [$dash:expr, $predecessor:expr], $measure:expr) => {
            let contenders = vec![
                Contender::new("ClientRegistry", || $measure(&registry)),
                Contender::with_bar("DashMap, same hasher", $dash, || $measure(&by_id)),
                Contender::new("DashMap, counts and guard", || $measure(&counted)),
                Contender::with_bar("DashMap<String, _>", $predecessor, || $measure(&by_text)),
                Contender::new("one RwLock", || $measure(&one_lock)),
            ];
            scores.contest($what, $unit, ROUNDS, contenders);
        };
    }
    compare!(format!("registry: get, threads {THREADS}"), "ns", [1.0, 2.0], get);
    compare!(format!("registry: insert and remove, threads {THREADS}"), "ns", [1.0, 1.5], come_and_go);
    compare!("registry: list of 100,000", "us", [3.0, 4.0], list);
    compare!("registry: counts of 100,000", "ns", [1.0, 1.0], counts);
}

/// A map with everybody in it, and those that come and go, with their keys.
struct Rival<M: Clients> {
    full: Full<M>,
    coming: Vec<(M::Key, Arc<GatewayClient>)>,
}

impl<M: Clients> Rival<M> {
    fn new(all: &[Arc<GatewayClient>], extra: &[Arc<GatewayClient>]) -> Self {
        let coming = extra.iter().map(|client| (M::key(client), client.clone())).collect();
        Rival { full: Full::new(all), coming }
    }
}

/// Nanoseconds of each of so many calls in all, when all threads begin together: until the last has ended.
fn share(calls: usize, work: impl Fn(usize) + Sync) -> f64 {
    let (barrier, work) = (Barrier::new(THREADS), &work);
    let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let began = Instant::now();
                    work(thread);
                    (began, Instant::now())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let (first, last) = (times.iter().map(|(began, _)| *began).min(), times.iter().map(|(_, ended)| *ended).max());
    let time = last.zip(first).map(|(last, first)| last - first).expect("a thread");
    time.as_secs_f64() * 1e9 / calls as f64
}

fn get<M: Clients>(rival: &Rival<M>) -> f64 {
    share(LOOKUPS * MANY, |thread| {
        let share = MANY / THREADS;
        let mine = &rival.full.keys[thread * share..(thread + 1) * share];
        for key in (0..LOOKUPS).flat_map(|_| mine) {
            black_box(rival.full.map.get(key).expect("it is there"));
        }
    })
}

fn come_and_go<M: Clients>(rival: &Rival<M>) -> f64 {
    let map = &rival.full.map;
    share(THREADS * COMING * TIMES, |thread| {
        let mine = &rival.coming[thread * COMING..(thread + 1) * COMING];
        for few in (0..TIMES).flat_map(|_| mine.chunks(FEW)) {
            // A client that comes has just been made, and one that goes is in use: its memory is at hand.
            few.iter().for_each(|(_, client)| drop(black_box((client.conn_id, client.auth.role.clone()))));
            let places: Vec<_> = few.iter().map(|(key, client)| map.come(key, client)).collect();
            for ((key, _), place) in few.iter().zip(places) {
                drop(place);
                map.go(key);
            }
        }
    })
}

fn list<M: Clients>(rival: &Rival<M>) -> f64 {
    let began = Instant::now();
    let listed = black_box(rival.full.map.list());
    let time = began.elapsed();
    assert_eq!(listed.len(), MANY);
    time.as_secs_f64() * 1e6
}

/// As often as the clock can tell, and no longer than it takes.
fn counts<M: Clients>(rival: &Rival<M>) -> f64 {
    let (began, mut calls) = (Instant::now(), 0);
    while calls == 0 || began.elapsed() < Duration::from_millis(2) {
        for _ in 0..if calls == 0 { 1 } else { 1000 } {
            assert_eq!(black_box(rival.full.map.counts()).total_connections, MANY);
            calls += 1;
        }
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}
