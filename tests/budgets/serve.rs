//! The measured server: a gateway with one worker thread that echoes each message and sends a message that starts with `!`
//! to all clients, or one that speaks JSON-RPC.
//!
//! It prints its address, then a [`Snapshot`] for each line of its standard input, and exits at the end of the input.

use crate::echo_handler::Echo;
use aisopod_gateway::auth::{AuthInfo, Authenticator, Credential, Role, SecretDigest};
use aisopod_gateway::config::{Config, ListenAddr};
use aisopod_gateway::{Gateway, Listener, Shutdown};
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

/// The token of an operator.
pub const TOKEN: &str = "counted";
/// The number of nodes with a token each.
pub const NODES: usize = 100;

pub fn node_token(index: usize) -> String {
    format!("counted-{index}")
}

/// The text ahead of the address in the first line.
pub const LISTENING: &str = "listening ";
/// A pattern of callgrind for the function that takes a snapshot.
pub const SNAPSHOT_FUNCTION: &str = "*serve::take_snapshot*";

/// The variable that makes this program the server. Its value is the heartbeat's interval and timeout.
const HEARTBEAT_SECONDS: &str = "AISOPOD_MEASURED_HEARTBEAT_SECONDS";
/// The variable that makes it speak JSON-RPC.
const RPC: &str = "AISOPOD_MEASURED_RPC";
/// Ends the server if the tests hang.
const LIFETIME: Duration = Duration::from_secs(1200);
/// Longer than any test, so that no timeout changes the counts.
const NO_TIMEOUT: Duration = Duration::from_secs(3600);
/// Pings are spread over the interval, so none of a thousand clients gets one during a test.
const NO_HEARTBEAT: Duration = Duration::from_secs(1_000_000_000_000);

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts since the start of the process, and the gateway's status.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The number of snapshots taken earlier.
    pub number: usize,
    pub allocations: usize,
    pub live_bytes: usize,
    pub live_blocks: usize,
    /// The JSON of `/status`.
    pub status: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Echo,
    Rpc,
}

/// The command that runs this program as the server, under `wrapper` (such as strace) if there is one.
pub fn command(wrapper: Option<Command>, heartbeat: Option<Duration>, protocol: Protocol) -> Command {
    let program = env::current_exe().expect("a program has a path");
    let mut command = match wrapper {
        Some(mut wrapper) => {
            wrapper.arg(program);
            wrapper
        }
        None => Command::new(program),
    };
    // With one thread the test runner prints nothing about tests that run for long.
    command.args(["--quiet", "--test-threads=1", "--ignored", "--exact", "serve::measured_server"]);
    // While the only worker takes a snapshot, no other task runs.
    command.env("TOKIO_WORKER_THREADS", "1");
    if protocol == Protocol::Rpc {
        command.env(RPC, "1");
    }
    command.env(HEARTBEAT_SECONDS, heartbeat.unwrap_or(NO_HEARTBEAT).as_secs().to_string());
    command
}

#[test]
#[ignore = "the server that the other tests start"]
fn measured_server() {
    let Ok(seconds) = env::var(HEARTBEAT_SECONDS) else { return };
    thread::spawn(|| {
        thread::sleep(LIFETIME);
        exit(1);
    });
    let runtime = Gateway::build_runtime().expect("a runtime");
    let gateway = match env::var_os(RPC) {
        Some(_) => Gateway::new(config(&seconds, NODES)),
        None => Gateway::with_handler(config(&seconds, 0), |registry| Arc::new(Echo { registry })),
    };
    let (_stop, shutdown) = watch::channel(Shutdown::No);
    let listener = {
        let _context = runtime.enter();
        Listener::bind(&ListenAddr::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))), false).expect("a free port")
    };
    print(&format!("{LISTENING}{}", listener.addr()));
    runtime.spawn(gateway.clone().run(vec![listener], shutdown));
    for (number, _) in io::stdin().lines().map_while(Result::ok).enumerate() {
        print(&snapshot(number, &runtime, &gateway));
    }
}

fn config(heartbeat_seconds: &str, nodes: usize) -> Config {
    let mut config = Config::new(Gateway::descriptor_limit());
    let heartbeat = Duration::from_secs(heartbeat_seconds.parse().expect("seconds"));
    (config.heartbeat.interval, config.heartbeat.timeout) = (heartbeat, heartbeat);
    (config.handshake.timeout, config.limits.write_timeout) = (NO_TIMEOUT, NO_TIMEOUT);
    let credential = |name: &str, role, token: &str| {
        let info = Arc::new(AuthInfo::new(name, role, ["*".into()]));
        Credential { info, digest: SecretDigest::of(token.as_bytes()) }
    };
    let mut all = vec![credential("counted", Role::Operator, TOKEN)];
    all.extend((0..nodes).map(|index| credential(&format!("n{index}"), Role::Node, &node_token(index))));
    config.auth = Authenticator::Token(all);
    config
}

/// Takes the counts on the worker thread, after a yield: by then the runtime has polled for events, and released what
/// it kept for closed sockets.
fn snapshot(number: usize, runtime: &Runtime, gateway: &Gateway) -> String {
    let heap = runtime.spawn(async {
        tokio::task::yield_now().await;
        take_snapshot()
    });
    let heap = runtime.block_on(heap).expect("no panic");
    let snapshot = Snapshot {
        number,
        allocations: heap.allocations + heap.reallocations,
        live_bytes: heap.bytes_allocated - heap.bytes_deallocated,
        live_blocks: heap.allocations - heap.deallocations,
        status: serde_json::from_str(&gateway.status()).expect("JSON"),
    };
    serde_json::to_string(&snapshot).expect("string keys only")
}

/// callgrind finds it by name.
#[inline(never)]
fn take_snapshot() -> Stats {
    HEAP.stats()
}

/// Prints a line in one system call and without the test runner's capture.
fn print(line: &str) {
    io::stdout().write_all(format!("{line}\n").as_bytes()).expect("the tests read it");
}
