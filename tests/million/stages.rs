//! What is measured, one after the other.

use crate::crowd::{Mould, Sessions};
use crate::pause::Pauses;
use crate::process::{ThreadTimes, resident_bytes};
use crate::report::Report;
use aisopod_gateway::{ClientRegistry, Config, GatewayClient, Heartbeat, Registration, Stats, Watch};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// One whole interval of pings.
const INTERVAL: Duration = Duration::from_secs(30);
/// Between two looks from outside: often enough to meet a turn, seldom enough to leave the processor to it.
const PROBE: Duration = Duration::from_micros(500);
/// How long the turns themselves are watched.
const TURNS: Duration = Duration::from_secs(10);
/// How long clients come while others are listed.
const LISTING: Duration = Duration::from_secs(3);

/// The heartbeat on a runtime and a thread of its own.
struct Beating {
    heartbeat: Arc<Heartbeat>,
    runtime: Handle,
}

impl Beating {
    fn start(stats: Arc<Stats>) -> Self {
        let heartbeat = Arc::new(Heartbeat::new(&Config::new(1024).heartbeat, stats));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (handle, running) = (runtime.handle().clone(), heartbeat.clone());
        thread::spawn(move || runtime.block_on(running.run()));
        Beating { heartbeat, runtime: handle }
    }

    /// Its thread's times.
    fn times(&self) -> ThreadTimes {
        on(&self.runtime, async { ThreadTimes::of_this_thread() })
    }
}

/// Runs something on a runtime, and waits for it on a thread that isn't the runtime's.
fn on<R: Send + 'static>(runtime: &Handle, future: impl Future<Output = R> + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    runtime.spawn(async move {
        // The receiver waits below.
        let _ = sender.send(future.await);
    });
    receiver.recv().expect("the task runs to its end")
}

/// Measures everything with so many clients.
pub fn measure(count: usize, report: &mut Report) {
    let (registry, stats) = (Arc::new(ClientRegistry::new()), Arc::<Stats>::default());
    let beating = Beating::start(stats.clone());
    let before = resident_bytes();
    eprintln!("{count} clients");
    let clients = make(count, stats, report);
    let registrations = register(&registry, &clients, report);
    let watches = watch(&beating, &clients, report);
    report.add("resident for each client, in all", (resident_bytes() - before) / count as f64, "bytes");
    eprintln!("one interval of {INTERVAL:?}");
    interval(&beating, &registry, &clients, report);
    let sessions = Sessions::start(&registry);
    eprintln!("turns, for {TURNS:?}");
    turns("a task's wait for its turn", &beating).report(report);
    eprintln!("turns with nobody there, for {TURNS:?}");
    turns("a task's wait where nobody is", &Beating::start(Arc::default())).report_without_limit(report);
    eprintln!("coming and going");
    churn(&beating, &clients, report);
    list(&registry, &clients, report);
    drop(sessions);
    let closed = clients.iter().filter(|client| client.close_reason().is_some()).count();
    report.add_limited("clients taken for dead", closed as f64, "clients", 0.0);
    let began = Instant::now();
    drop((registrations, watches, clients));
    report.add("all go", began.elapsed().as_secs_f64() * 1e9 / count as f64, "ns each");
    report.add("resident for each client, all gone", (resident_bytes() - before) / count as f64, "bytes");
}

/// Makes something for each client, and reports what it weighs.
fn weigh<T>(what: &str, count: usize, report: &mut Report, make: impl FnMut(usize) -> T) -> Vec<T> {
    let mut all = Vec::with_capacity(count);
    let before = resident_bytes();
    all.extend((0..count).map(make));
    report.add(format!("resident for each {what}"), (resident_bytes() - before) / count as f64, "bytes");
    all
}

fn make(count: usize, stats: Arc<Stats>, report: &mut Report) -> Vec<Arc<GatewayClient>> {
    let mould = Mould::new(stats);
    weigh("client, and the handle to it", count, report, |_| mould.client())
}

fn register(registry: &Arc<ClientRegistry>, clients: &[Arc<GatewayClient>], report: &mut Report) -> Vec<Registration> {
    let mut pauses = Pauses::new("on_connect, one after the other");
    let registrations = weigh("place in the registry, and its guard", clients.len(), report, |index| {
        let client = clients[index].clone();
        pauses.time(|| registry.on_connect(client))
    });
    pauses.report(report);
    registrations
}

fn watch(beating: &Beating, clients: &[Arc<GatewayClient>], report: &mut Report) -> Vec<Watch> {
    let mut pauses = Pauses::behind("watch, one after the other", beating.times());
    let watches = weigh("place in the wheel, and its guard", clients.len(), report, |index| {
        pauses.time(|| beating.heartbeat.watch(&clients[index]))
    });
    pauses.report(report);
    watches
}

/// Over one interval: what the heartbeat costs, and how long others wait for it.
fn interval(beating: &Beating, registry: &Arc<ClientRegistry>, clients: &[Arc<GatewayClient>], report: &mut Report) {
    // Whoever was pinged meanwhile is heard.
    Sessions::start(registry).end();
    let mut watches = Pauses::behind("watch and drop, beside the heartbeat", beating.times());
    let mut gets = Pauses::new("get, beside the heartbeat");
    let mut snapshots = Pauses::new("health_snapshot");
    let times = beating.times();
    let (sessions, began, cpu) = (Sessions::start(registry), Instant::now(), times.cpu());
    // A prime apart: not neighbours.
    for client in (0..).map(|number| &clients[number * 7919 % clients.len()]) {
        watches.time(|| drop(beating.heartbeat.watch(client)));
        gets.time(|| registry.get(client.conn_id)).expect("it is there");
        snapshots.time(|| registry.health_snapshot());
        if began.elapsed() >= INTERVAL {
            break;
        }
        thread::sleep(PROBE);
    }
    let (cpu, seconds) = ((times.cpu() - cpu).as_secs_f64(), began.elapsed().as_secs_f64());
    let pings = sessions.end() as f64;
    let expected = clients.len() as f64 * seconds / INTERVAL.as_secs_f64();
    report.add(format!("pings asked for in {seconds:.0} s"), pings, "pings");
    report.add_limited("pings, off what is expected", (pings - expected).abs() / expected * 100.0, "%", 2.0);
    report.add("CPU of the heartbeat meanwhile", cpu / seconds * 100.0, "% of a core");
    report.add("CPU for each ping and its judgement", cpu / pings * 1e9, "ns");
    [watches, gets, snapshots].iter().for_each(|pauses| pauses.report(report));
}

/// How long a task on the heartbeat's thread has to wait for it: the longest turn without a break. With nobody there, what
/// the machine adds to that.
fn turns(what: &'static str, beating: &Beating) -> Pauses {
    on(&beating.runtime, async move {
        let (mut pauses, began) = (Pauses::new(what), Instant::now());
        while began.elapsed() < TURNS {
            let before = pauses.before();
            tokio::task::yield_now().await;
            pauses.add(&before);
        }
        pauses
    })
}

/// As many come and go again as there are.
fn churn(beating: &Beating, clients: &[Arc<GatewayClient>], report: &mut Report) {
    let mut pauses = Pauses::behind("watch and drop, as many as there are", beating.times());
    let began = Instant::now();
    for client in clients {
        let watch = pauses.time(|| beating.heartbeat.watch(client));
        drop(watch);
    }
    let seconds = began.elapsed().as_secs_f64();
    pauses.report(report);
    report.add("watch and drop, as many as there are: a second", clients.len() as f64 / seconds, "per s");
}

/// All are listed while somebody comes.
fn list(registry: &Arc<ClientRegistry>, clients: &[Arc<GatewayClient>], report: &mut Report) {
    let mould = Mould::new(Arc::default());
    let ended = AtomicBool::new(false);
    let (times, lists) = thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let ended = &ended;
        let listing = scope.spawn(move || {
            // The receiver waits below.
            let _ = sender.send(ThreadTimes::of_this_thread());
            let mut pauses = Pauses::new("list");
            while !ended.load(Relaxed) {
                let listed = pauses.time(|| registry.list());
                assert!(listed.len() >= clients.len());
            }
            pauses
        });
        let mut pauses = Pauses::behind("on_connect, while others are listed", receiver.recv().expect("a thread"));
        let began = Instant::now();
        while began.elapsed() < LISTING {
            let client = mould.client();
            drop(pauses.time(|| registry.on_connect(client)));
        }
        ended.store(true, Relaxed);
        (pauses, listing.join().expect("no panic"))
    });
    times.report(report);
    lists.report_without_limit(report);
}
