//! The library in this process, with handlers of the tests' own.

use crate::common::frames::{CLOSE, FIN, Raw, TEXT, frame};
use crate::common::{PATIENCE, wait_until};
use aisopod_gateway::config::{Config, ListenAddr};
use aisopod_gateway::{
    CloseReason, DrainReport, Gateway, GatewayClient, Handler, Listener, Rest, Shutdown, Utf8Bytes, broadcast,
};
use serde_json::Value;
use socket2::SockRef;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a test does with a message.
struct Act<F>(F);

impl<F: Fn(&Arc<GatewayClient>, &str) + Send + Sync + 'static> Handler for Act<F> {
    fn on_message(&self, client: &Arc<GatewayClient>, text: Utf8Bytes) -> Option<Rest> {
        (self.0)(client, &text);
        None
    }
}

/// What this process's gateways log; the tests look for their own clients' IDs in it.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Recorder;

impl log::Log for Recorder {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        LOG.lock().unwrap().push(record.args().to_string());
    }
    fn flush(&self) {}
}

/// Asserts that a client's end was logged once, with its reason.
fn assert_logged_once(conn_id: impl std::fmt::Display, reason: &str) {
    let start = format!("disconnected conn_id={conn_id} ");
    let log = LOG.lock().unwrap();
    let lines: Vec<_> = log.iter().filter(|line| line.starts_with(&start)).collect();
    assert!(lines.len() == 1 && lines[0].contains(&format!(" reason={reason} ")), "{lines:?}");
}

/// A gateway on a runtime of its own.
struct Embedded {
    gateway: Gateway,
    addr: SocketAddr,
    stop: watch::Sender<Shutdown>,
    running: JoinHandle<DrainReport>,
    runtime: Runtime,
}

impl Embedded {
    fn start(
        change: impl FnOnce(&mut Config),
        act: impl Fn(&Arc<GatewayClient>, &str) + Send + Sync + 'static,
    ) -> Embedded {
        Self::start_on(2, change, Act(act))
    }

    fn start_on(workers: usize, change: impl FnOnce(&mut Config), handler: impl Handler) -> Embedded {
        // Only the first test of the process can set it.
        let _ = log::set_logger(&Recorder).map(|()| log::set_max_level(log::LevelFilter::Info));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
        let mut config = Config::new(1024);
        // The first ping comes at any time within an interval: none within a test.
        config.heartbeat.interval = std::time::Duration::from_secs(1_000_000_000);
        change(&mut config);
        let gateway = Gateway::with_handler(config, |_| Arc::new(handler));
        let guard = runtime.enter();
        let listener = Listener::bind(&ListenAddr::Tcp(([127, 0, 0, 1], 0).into()), false).unwrap();
        drop(guard);
        let ListenAddr::Tcp(addr) = *listener.addr() else { unreachable!() };
        let (stop, shutdown) = watch::channel(Shutdown::No);
        let running = runtime.spawn(gateway.clone().run(vec![listener], shutdown));
        Embedded { gateway, addr, stop, running, runtime }
    }

    fn connect(&self) -> Raw {
        Raw::upgrade(TcpStream::connect(self.addr).unwrap())
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.gateway.status()).unwrap()
    }

    fn wait_for_clients(&self, count: usize) {
        wait_until("so many clients are there", || self.gateway.registry().len() == count);
    }
}

#[test]
fn a_panicking_handler_costs_its_own_client_only() {
    let embedded = Embedded::start(
        |_| {},
        |client, text| {
            assert!(text != "panic", "on purpose");
            client.send(text).unwrap();
        },
    );
    let (mut good, mut bad) = (embedded.connect(), embedded.connect());
    embedded.wait_for_clients(2);
    let both = embedded.gateway.registry().list();
    bad.send(&frame(FIN | TEXT, b"panic"));
    assert_eq!(bad.closed(), Some((1011, "internal_error".to_owned())));
    embedded.wait_for_clients(1);
    good.send(&frame(FIN | TEXT, b"still here"));
    assert_eq!(good.receive().unwrap().1, b"still here");
    assert_eq!(embedded.status()["closed_total"]["internal_error"], 1);
    let gone: Vec<_> = both.iter().filter(|client| client.close_reason().is_some()).collect();
    assert_eq!(gone.len(), 1);
    wait_until("it is logged", || LOG.lock().unwrap().iter().any(|line| line.contains(&gone[0].conn_id.to_string())));
    assert_logged_once(gone[0].conn_id, "internal_error");
}

/// Works until somebody says stop, in pieces.
#[derive(Default)]
struct Worker(Arc<Work>);

#[derive(Default)]
struct Work {
    is_stopped: AtomicBool,
    pieces: AtomicUsize,
}

impl Handler for Worker {
    fn on_message(&self, client: &Arc<GatewayClient>, text: Utf8Bytes) -> Option<Rest> {
        match &*text {
            "work" => return work(self.0.clone(), client.clone(), Instant::now() + PATIENCE),
            "stop" => self.0.is_stopped.store(true, Relaxed),
            "panic" => return Some(Rest::new(|| panic!("on purpose"))),
            _ => {}
        }
        client.send(text).unwrap();
        None
    }
}

fn work(work: Arc<Work>, client: Arc<GatewayClient>, deadline: Instant) -> Option<Rest> {
    work.pieces.fetch_add(1, Relaxed);
    if work.is_stopped.load(Relaxed) || Instant::now() > deadline {
        let _ = client.send("done");
        return None;
    }
    Some(Rest::new(move || self::work(work, client, deadline)))
}

#[test]
fn a_message_that_is_much_work_costs_others_nothing() {
    let work = Arc::new(Work::default());
    // All share one thread.
    let embedded = Embedded::start_on(1, |_| {}, Worker(work.clone()));
    let (mut busy, mut other) = (embedded.connect(), embedded.connect());
    busy.send(&[frame(FIN | TEXT, b"work"), frame(FIN | TEXT, b"later")].concat());
    wait_until("it works", || work.pieces.load(Relaxed) > 1);
    for text in ["one", "two", "stop"] {
        other.send(&frame(FIN | TEXT, text.as_bytes()));
        assert_eq!(other.receive().unwrap().1, text.as_bytes());
    }
    // Its own next message had to wait.
    for text in ["done", "later"] {
        assert_eq!(busy.receive().unwrap().1, text.as_bytes());
    }
}

#[test]
fn what_is_left_of_a_message_ends_with_its_client() {
    let work = Arc::new(Work::default());
    let embedded = Embedded::start_on(1, |_| {}, Worker(work.clone()));
    let (mut busy, mut bad) = (embedded.connect(), embedded.connect());
    bad.send(&frame(FIN | TEXT, b"panic"));
    assert_eq!(bad.closed(), Some((1011, "internal_error".to_owned())));
    busy.send(&frame(FIN | TEXT, b"work"));
    wait_until("it works", || work.pieces.load(Relaxed) > 1);
    embedded.gateway.registry().list().remove(0).close(CloseReason::Kicked);
    assert_eq!(busy.closed(), Some((4000, "kicked".to_owned())));
    // The handler's and the test's own.
    wait_until("nobody works", || Arc::strong_count(&work) == 2);
}

#[test]
fn cancelled_sessions_leave_the_registry() {
    let embedded = Embedded::start(|_| {}, |_, _| {});
    let mut clients: Vec<_> = (0..10).map(|_| embedded.connect()).collect();
    embedded.wait_for_clients(10);
    let ids: Vec<_> = embedded.gateway.registry().list().iter().map(|client| client.conn_id).collect();
    let Embedded { gateway, runtime, .. } = embedded;
    // Every task is dropped where it stands.
    drop(runtime);
    assert!(gateway.registry().is_empty() && gateway.registry().list().is_empty());
    let status: Value = serde_json::from_str(&gateway.status()).unwrap();
    assert_eq!(status["closed_total"]["internal_error"], 10, "{status}");
    assert_eq!(status["clients"]["total_connections"], 0, "{status}");
    for client in &mut clients {
        assert_eq!(client.closed(), None, "the connection is gone");
    }
    ids.into_iter().for_each(|conn_id| assert_logged_once(conn_id, "internal_error"));
}

#[test]
fn a_full_outbox_closes_the_client_and_nobody_waits() {
    let refused = Arc::new(Mutex::new(0));
    let count = refused.clone();
    let embedded = Embedded::start(
        |config| config.limits.outbox_max_messages = 100,
        move |client, _| {
            let failed = (0..100).filter(|_| client.send("x".repeat(1_000_000)).is_err()).count();
            *count.lock().unwrap() += failed;
        },
    );
    let mut raw = embedded.connect();
    raw.send(&frame(FIN | TEXT, b"flood me"));
    wait_until("it is closed", || embedded.status()["closed_total"]["slow_consumer"] == 1);
    // 4 messages fit into 4 MiB; all behind the first that didn't are refused too.
    assert_eq!(*refused.lock().unwrap(), 100 - 4);
    assert_eq!(embedded.status()["outbox"]["bytes_queued"], 0);
}

#[test]
fn a_message_in_the_outbox_bound_is_delivered_whole_and_in_order() {
    let embedded = Embedded::start(
        |_| {},
        |client, text| {
            for index in 0..1_000 {
                client.send(format!("{text} {index}")).unwrap();
            }
        },
    );
    let mut raw = embedded.connect();
    raw.send(&frame(FIN | TEXT, b"number"));
    for index in 0..1_000 {
        assert_eq!(raw.receive().unwrap().1, format!("number {index}").as_bytes());
    }
}

#[test]
fn messages_from_other_threads_are_delivered_in_order() {
    let embedded = Embedded::start(|config| config.limits.outbox_max_messages = 20_000, |_, _| {});
    let mut raw = embedded.connect();
    embedded.wait_for_clients(1);
    let client = embedded.gateway.registry().list().remove(0);
    let sender = std::thread::spawn(move || {
        for index in 0..20_000 {
            client.send(format!("{index}")).unwrap();
        }
    });
    for index in 0..20_000 {
        assert_eq!(raw.receive().unwrap().1, index.to_string().as_bytes());
    }
    sender.join().unwrap();
}

#[test]
fn a_close_request_is_heard_in_the_middle_of_a_blocked_write() {
    let embedded = Embedded::start(
        |config| config.limits.close_timeout = std::time::Duration::from_millis(200),
        |client, _| {
            // 3 MB: under the outbox's bound, over what the socket takes.
            for _ in 0..3 {
                client.send("x".repeat(1_000_000)).unwrap();
            }
        },
    );
    let mut raw = embedded.connect();
    SockRef::from(&raw.0).set_recv_buffer_size(4096).unwrap();
    raw.send(&frame(FIN | TEXT, b"flood me"));
    wait_until("the write is blocked", || embedded.status()["outbox"]["bytes_queued"] != 0);
    let client = embedded.gateway.registry().list().remove(0);
    client.close(CloseReason::Kicked);
    // It reads nothing; the write timeout is far away.
    wait_until("it is closed", || embedded.status()["closed_total"]["kicked"] == 1);
    drop(raw);
}

#[test]
fn what_is_queued_before_a_close_is_delivered_before_it() {
    let embedded = Embedded::start(
        |config| config.limits.close_timeout = PATIENCE,
        |client, _| {
            for index in 0..100 {
                client.send(format!("{index} {}", "x".repeat(10_000))).unwrap();
            }
            client.close(CloseReason::Kicked);
        },
    );
    let mut raw = embedded.connect();
    raw.send(&frame(FIN | TEXT, b"go"));
    for index in 0..100 {
        assert!(raw.receive().unwrap().1.starts_with(format!("{index} ").as_bytes()));
    }
    raw.send(&frame(FIN | CLOSE, &4000_u16.to_be_bytes()));
    assert_eq!(raw.closed(), Some((4000, "kicked".to_owned())));
}

#[test]
fn a_gateway_ends_when_nobody_can_tell_it_to() {
    let Embedded { stop, running, runtime, .. } = Embedded::start(|_| {}, |_, _| {});
    drop(stop);
    assert_eq!(runtime.block_on(running).unwrap(), DrainReport { closed: 0, aborted: 0 });
}

#[test]
fn a_broadcast_reaches_everybody_and_before_what_is_sent_later() {
    // More than one task writes to.
    const CLIENTS: usize = 300;
    let embedded = Embedded::start(|_| {}, |_, _| {});
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| embedded.connect()).collect();
    embedded.wait_for_clients(CLIENTS);
    let everybody = embedded.gateway.registry().list();
    embedded.runtime.block_on(async {
        broadcast(everybody.clone(), "one".into());
        broadcast(everybody.clone(), "two".into());
    });
    for client in &everybody {
        client.send("three").unwrap();
    }
    for client in &mut clients {
        for text in ["one", "two", "three"] {
            assert_eq!(client.receive(), Some((FIN | TEXT, text.as_bytes().to_vec())));
        }
    }
    // What a client has may not be counted as gone yet.
    wait_until("nothing is queued", || embedded.status()["outbox"]["bytes_queued"] == 0);
}
