//! The library in the test's own process, with handlers of the tests instead of JSON-RPC.

use crate::common::raw_client::RawClient;
use crate::common::{TIMEOUT, wait_until};
use aisopod_gateway::config::{Config, ListenAddr};
use aisopod_gateway::{
    BoxFuture, CloseReason, DrainReport, Gateway, GatewayClient, Handler, Listener, Message, Shutdown,
};
use serde_json::Value;
use socket2::SockRef;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use test_support::frames::{BINARY, CLOSE, FIN, TEXT, client_frame};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A handler that calls a function for each message.
struct MessageFn<F>(F);

impl<F: Fn(&Arc<GatewayClient>, &str) + Send + Sync + 'static> Handler for MessageFn<F> {
    fn on_message(&self, client: &Arc<GatewayClient>, message: Message) -> Option<BoxFuture<'static, ()>> {
        let Message::Text(text) = message else { panic!("no test sends a binary message here") };
        (self.0)(client, &text);
        None
    }
}

/// The log of all gateways in this process. Tests search it for the IDs of their clients.
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

/// Checks that a client's end was logged once, with its reason.
fn assert_logged_once(conn_id: impl std::fmt::Display, reason: &str) {
    let start = format!("disconnected conn_id={conn_id} ");
    let log = LOG.lock().unwrap();
    let lines: Vec<_> = log.iter().filter(|line| line.starts_with(&start)).collect();
    assert!(lines.len() == 1 && lines[0].contains(&format!(" reason={reason} ")), "{lines:?}");
}

/// A gateway with a runtime.
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
        on_message: impl Fn(&Arc<GatewayClient>, &str) + Send + Sync + 'static,
    ) -> Embedded {
        Self::start_on(2, change, MessageFn(on_message))
    }

    fn start_on(workers: usize, change: impl FnOnce(&mut Config), handler: impl Handler) -> Embedded {
        // Fails for all tests but the first.
        let _ = log::set_logger(&Recorder).map(|()| log::set_max_level(log::LevelFilter::Info));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
        let mut config = Config::new(1024);
        // The first ping comes at a random time within the interval, 31 years: practically never during a test.
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

    fn connect(&self) -> RawClient {
        RawClient::upgrade(TcpStream::connect(self.addr).unwrap(), "")
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.gateway.status()).unwrap()
    }

    fn wait_for_clients(&self, count: usize) {
        wait_until("the number of clients", || self.gateway.registry().len() == count);
    }
}

#[test]
fn panic_in_handler_closes_only_its_client() {
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
    bad.send(&client_frame(FIN | TEXT, b"panic"));
    assert_eq!(bad.wait_for_close(), Some((1011, "internal_error".to_owned())));
    embedded.wait_for_clients(1);
    good.send(&client_frame(FIN | TEXT, b"still here"));
    assert_eq!(good.receive().unwrap().1, b"still here");
    assert_eq!(embedded.status()["closed_total"]["internal_error"], 1);
    let closed: Vec<_> = both.iter().filter(|client| client.close_reason().is_some()).collect();
    assert_eq!(closed.len(), 1);
    let conn_id = closed[0].conn_id;
    let disconnected = format!("disconnected conn_id={conn_id} ");
    wait_until("the log line", || LOG.lock().unwrap().iter().any(|line| line.contains(&disconnected)));
    assert_logged_once(conn_id, "internal_error");
}

/// A handler that spends many steps on a `work` message, until it receives `stop` or the deadline has passed. For
/// `panic` its future panics, for `wait` it never finishes. It echoes `stop` and all other messages.
#[derive(Default)]
struct Worker(Arc<Work>);

#[derive(Default)]
struct Work {
    is_stopped: AtomicBool,
    steps: AtomicUsize,
}

impl Handler for Worker {
    fn on_message(&self, client: &Arc<GatewayClient>, message: Message) -> Option<BoxFuture<'static, ()>> {
        match message.payload() {
            b"work" => return Some(Box::pin(work(self.0.clone(), client.clone()))),
            b"stop" => self.0.is_stopped.store(true, Relaxed),
            b"panic" => return Some(Box::pin(async { panic!("on purpose") })),
            b"wait" => return Some(Box::pin(std::future::pending())),
            _ => {}
        }
        client.send(message).unwrap();
        None
    }
}

async fn work(work: Arc<Work>, client: Arc<GatewayClient>) {
    let deadline = Instant::now() + 2 * TIMEOUT;
    while !work.is_stopped.load(Relaxed) && Instant::now() < deadline {
        work.steps.fetch_add(1, Relaxed);
        tokio::task::consume_budget().await;
    }
    let _ = client.send("done");
}

#[test]
fn echoed_messages_keep_their_type() {
    let embedded = Embedded::start_on(1, |_| {}, Worker::default());
    let mut client = embedded.connect();
    for opcode in [TEXT, BINARY] {
        client.send(&client_frame(FIN | opcode, b"same"));
        assert_eq!(client.receive(), Some((FIN | opcode, b"same".to_vec())));
    }
}

#[test]
fn client_whose_message_is_being_handled_counts_as_active() {
    let embedded = Embedded::start_on(
        1,
        |config| {
            config.heartbeat.interval = std::time::Duration::from_secs(2);
            config.heartbeat.timeout = std::time::Duration::from_secs(2);
        },
        Worker::default(),
    );
    let (mut waiting, silent) = (embedded.connect(), embedded.connect());
    waiting.send(&client_frame(FIN | TEXT, b"wait"));
    // Neither client answers pings. The silent one is closed for that. The one whose message is being handled stays
    // connected, although further pings stay unanswered.
    wait_until("the close of the silent client", || embedded.status()["closed_total"]["pong_timeout"] == 1);
    let pings = || embedded.status()["heartbeat"]["pings_sent"].as_u64().unwrap();
    let before = pings();
    wait_until("more pings", || pings() > before + 1);
    assert_eq!(embedded.gateway.registry().len(), 1);
    drop((waiting, silent));
}

#[test]
fn long_work_of_one_client_does_not_delay_others() {
    let work = Arc::new(Work::default());
    // All clients share one thread.
    let embedded = Embedded::start_on(1, |_| {}, Worker(work.clone()));
    let (mut busy, mut other) = (embedded.connect(), embedded.connect());
    busy.send(&[client_frame(FIN | TEXT, b"work"), client_frame(FIN | TEXT, b"later")].concat());
    wait_until("the first steps", || work.steps.load(Relaxed) > 1);
    for text in ["one", "two", "stop"] {
        other.send(&client_frame(FIN | TEXT, text.as_bytes()));
        assert_eq!(other.receive().unwrap().1, text.as_bytes());
    }
    // The client's own next message waits.
    for text in ["done", "later"] {
        assert_eq!(busy.receive().unwrap().1, text.as_bytes());
    }
}

#[test]
fn unfinished_work_ends_with_its_client() {
    let work = Arc::new(Work::default());
    let embedded = Embedded::start_on(1, |_| {}, Worker(work.clone()));
    let (mut busy, mut bad) = (embedded.connect(), embedded.connect());
    bad.send(&client_frame(FIN | TEXT, b"panic"));
    assert_eq!(bad.wait_for_close(), Some((1011, "internal_error".to_owned())));
    busy.send(&client_frame(FIN | TEXT, b"work"));
    wait_until("the first steps", || work.steps.load(Relaxed) > 1);
    embedded.gateway.registry().list().remove(0).close(CloseReason::Kicked);
    assert_eq!(busy.wait_for_close(), Some((4000, "kicked".to_owned())));
    // Only the handler's and the test's references are left.
    wait_until("the end of the work", || Arc::strong_count(&work) == 2);
}

#[test]
fn cancelled_sessions_leave_the_registry() {
    let embedded = Embedded::start(|_| {}, |_, _| {});
    let mut clients: Vec<_> = (0..10).map(|_| embedded.connect()).collect();
    embedded.wait_for_clients(10);
    let ids: Vec<_> = embedded.gateway.registry().list().iter().map(|client| client.conn_id).collect();
    let Embedded { gateway, runtime, .. } = embedded;
    // Drops all tasks.
    drop(runtime);
    assert!(gateway.registry().is_empty() && gateway.registry().list().is_empty());
    let status: Value = serde_json::from_str(&gateway.status()).unwrap();
    assert_eq!(status["closed_total"]["internal_error"], 10, "{status}");
    assert_eq!(status["clients"]["total_connections"], 0, "{status}");
    for client in &mut clients {
        assert_eq!(client.wait_for_close(), None, "no close frame");
    }
    ids.into_iter().for_each(|conn_id| assert_logged_once(conn_id, "internal_error"));
}

#[test]
fn close_request_interrupts_a_blocked_write() {
    let embedded = Embedded::start(
        |config| (config.limits.close_timeout, config.limits.write_timeout) = (TIMEOUT / 300, 10 * TIMEOUT),
        |client, _| {
            // 3 MB: below the limit of the outbox, above what the socket accepts.
            for _ in 0..3 {
                client.send("x".repeat(1_000_000)).unwrap();
            }
        },
    );
    let mut raw = embedded.connect();
    SockRef::from(&raw.stream).set_recv_buffer_size(4096).unwrap();
    raw.send(&client_frame(FIN | TEXT, b"flood me"));
    wait_until("a blocked write", || embedded.status()["outbox"]["bytes_queued"] != 0);
    let client = embedded.gateway.registry().list().remove(0);
    client.close(CloseReason::Kicked);
    wait_until("the close", || embedded.status()["closed_total"]["kicked"] == 1);
    drop(raw);
}

#[test]
fn messages_queued_ahead_of_a_close_are_delivered_in_order() {
    let embedded = Embedded::start(
        |config| config.limits.close_timeout = TIMEOUT,
        |client, _| {
            for index in 0..100 {
                client.send(format!("{index} {}", "x".repeat(10_000))).unwrap();
            }
            client.close(CloseReason::Kicked);
        },
    );
    let mut raw = embedded.connect();
    // The client's own close frame is read before the gateway's is written. It doesn't change the reason.
    raw.send(&[client_frame(FIN | TEXT, b"go"), client_frame(FIN | CLOSE, &1000_u16.to_be_bytes())].concat());
    for index in 0..100 {
        assert!(raw.receive().unwrap().1.starts_with(format!("{index} ").as_bytes()));
    }
    assert_eq!(raw.wait_for_close(), Some((4000, "kicked".to_owned())));
}

#[test]
fn gateway_ends_when_the_shutdown_sender_is_dropped() {
    let Embedded { stop, running, runtime, .. } = Embedded::start(|_| {}, |_, _| {});
    drop(stop);
    assert_eq!(runtime.block_on(running).unwrap(), DrainReport { closed: 0, aborted: 0 });
}

#[test]
fn broadcast_reaches_all_clients_ahead_of_later_messages() {
    // More clients than one task of a broadcast writes to.
    const CLIENTS: usize = 300;
    let embedded = Embedded::start(|_| {}, |_, _| {});
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| embedded.connect()).collect();
    embedded.wait_for_clients(CLIENTS);
    let registry = embedded.gateway.registry();
    embedded.runtime.block_on(async {
        registry.broadcast("one");
        registry.broadcast("two");
    });
    for client in registry.list() {
        client.send("three").unwrap();
    }
    for client in &mut clients {
        for text in ["one", "two", "three"] {
            assert_eq!(client.receive(), Some((FIN | TEXT, text.as_bytes().to_vec())));
        }
    }
    // The client may receive the message before the counter is updated.
    wait_until("empty outboxes", || embedded.status()["outbox"]["bytes_queued"] == 0);
}
