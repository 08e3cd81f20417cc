//! The process that is counted: a gateway with one worker thread that lets in whoever has the token, sends back what a
//! client sends, and to everybody what begins with `!`; or one that answers JSON-RPC.
//!
//! It says where it listens, and answers each line of its standard input with a [`Stock`]. It ends with its input.

use aisopod_gateway::{
    AuthInfo, Authenticator, ClientRegistry, Config, Credential, Gateway, GatewayClient, Handler, ListenAddr, Listener,
    Rest, Role, SecretDigest, Shutdown, Utf8Bytes, broadcast, descriptor_limit, runtime,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};
use std::alloc::System;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::{Command, exit};
use std::sync::Arc;
use std::time::Duration;
use std::{env, thread};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What its clients show.
pub const TOKEN: &str = "counted";
/// Nodes that it knows, and what each of them shows.
pub const NODES: usize = 100;
pub fn node_token(index: usize) -> String {
    format!("counted-{index}")
}
/// Stands before the address.
pub const LISTENING: &str = "listening ";
/// A message that begins with this goes to everybody.
pub const BROADCAST: u8 = b'!';
/// The function by which it counts, as a pattern for callgrind.
pub const TAKES_STOCK: &str = "*serve::take_stock*";

/// The variable that makes this program take this role; its value is the heartbeat's interval and timeout.
const HEARTBEAT_SECONDS: &str = "AISOPOD_COUNTED_HEARTBEAT_SECONDS";
/// The variable by whose presence it answers JSON-RPC.
const RPC: &str = "AISOPOD_COUNTED_RPC";
/// Whoever started it is gone, or hangs.
const LIFETIME: Duration = Duration::from_secs(1200);
/// So that nothing happens because it is late on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// Pings are spread over the interval: of a thousand clients nobody's comes within a test.
const PRACTICALLY_NEVER: Duration = Duration::from_secs(1_000_000_000_000);

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts since the start of the process, and what the gateway says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stock {
    /// How many came before this one.
    pub number: usize,
    pub allocations: usize,
    pub live_bytes: usize,
    pub live_blocks: usize,
    /// The JSON of `/status`.
    pub status: Value,
}

/// What a process is to do with messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    RawClient,
    Rpc,
}

/// This program in this role; with a command that runs what is added to it, under that.
pub fn command(under: Option<Command>, heartbeat: Option<Duration>, speaks: Speaks) -> Command {
    let program = env::current_exe().expect("a program has a path");
    let mut command = match under {
        Some(mut under) => {
            under.arg(program);
            under
        }
        None => Command::new(program),
    };
    // One test at a time: it then says nothing of how long this one takes, in the middle of what is heard of it.
    command.args(["--quiet", "--test-threads=1", "--ignored", "--exact", "serve::the_counted_process"]);
    // One worker: while it counts, it does nothing else.
    command.env("TOKIO_WORKER_THREADS", "1");
    if speaks == Speaks::Rpc {
        command.env(RPC, "1");
    }
    command.env(HEARTBEAT_SECONDS, heartbeat.unwrap_or(PRACTICALLY_NEVER).as_secs().to_string());
    command
}

#[test]
#[ignore = "a role, not a test: the others start it to count what it does"]
fn the_counted_process() {
    let Ok(seconds) = env::var(HEARTBEAT_SECONDS) else { return };
    thread::spawn(|| {
        thread::sleep(LIFETIME);
        exit(1);
    });
    let runtime = runtime().expect("a runtime");
    let gateway = match env::var_os(RPC) {
        Some(_) => Gateway::new(config(&seconds, NODES)),
        None => Gateway::with_handler(config(&seconds, 0), |registry| Arc::new(Echo { registry })),
    };
    let (_stop, shutdown) = watch::channel(Shutdown::No);
    let listener = {
        let _context = runtime.enter();
        Listener::bind(&ListenAddr::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))), false).expect("a free port")
    };
    say(&format!("{LISTENING}{}", listener.addr()));
    runtime.spawn(gateway.clone().run(vec![listener], shutdown));
    for (number, _) in io::stdin().lines().map_while(Result::ok).enumerate() {
        say(&stock(number, &runtime, &gateway));
    }
}

fn config(heartbeat_seconds: &str, nodes: usize) -> Config {
    let mut config = Config::new(descriptor_limit());
    let heartbeat = Duration::from_secs(heartbeat_seconds.parse().expect("seconds"));
    (config.heartbeat.interval, config.heartbeat.timeout) = (heartbeat, heartbeat);
    (config.handshake.timeout, config.limits.write_timeout) = (TIMEOUT, TIMEOUT);
    let credential = |name: &str, role, token: &str| {
        let info = Arc::new(AuthInfo::new(name, role, ["*".into()]));
        Credential { info, digest: SecretDigest::of(token.as_bytes()) }
    };
    let mut all = vec![credential("counted", Role::Operator, TOKEN)];
    all.extend((0..nodes).map(|index| credential(&format!("n{index}"), Role::Node, &node_token(index))));
    config.auth = Authenticator::Token(all);
    config
}

struct Echo {
    registry: Arc<ClientRegistry>,
}

impl Handler for Echo {
    fn on_message(&self, client: &Arc<GatewayClient>, text: Utf8Bytes) -> Option<Rest> {
        if text.as_bytes().first() == Some(&BROADCAST) {
            broadcast(self.registry.list(), text);
        } else {
            // Who is full or gone is closed by the session, and missed by the tests.
            let _ = client.send(text);
        }
        None
    }
}

/// Counts on the worker, where no task is in the middle of anything then, and sockets that were closed have let go of what
/// the runtime keeps for them: it does that when it looks for events, as before it goes on with a task that stood back.
fn stock(number: usize, runtime: &Runtime, gateway: &Gateway) -> String {
    let heap = runtime.spawn(async {
        tokio::task::yield_now().await;
        take_stock()
    });
    let heap = runtime.block_on(heap).expect("it doesn't panic");
    let stock = Stock {
        number,
        allocations: heap.allocations + heap.reallocations,
        live_bytes: heap.bytes_allocated - heap.bytes_deallocated,
        live_blocks: heap.allocations - heap.deallocations,
        status: serde_json::from_str(&gateway.status()).expect("JSON"),
    };
    serde_json::to_string(&stock).expect("string keys only")
}

/// Callgrind looks for it by name.
#[inline(never)]
fn take_stock() -> Stats {
    HEAP.stats()
}

/// One line, in one system call, past the test runner.
fn say(line: &str) {
    io::stdout().write_all(format!("{line}\n").as_bytes()).expect("somebody listens");
}
