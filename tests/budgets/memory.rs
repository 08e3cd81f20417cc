//! Bytes and blocks on the heap for each connection, and allocations for each message. The kernel's memory, and what the
//! allocator adds to each block, come on top.

use crate::bound::assert_at_most;
use crate::clients::{broadcast, connect, connect_all, connect_silent, echo, echo_together};
use crate::serve::Stock;
use crate::server::Server;

const CONNECTIONS: usize = 1_000;
const SMALL: usize = 64;
const LARGE: usize = 256 * 1024;
const CLIENTS: &str = "/clients/total_connections";

/// Each is for one connection; behind it, what it was when recorded. Tables of clients, which grow as random IDs fill
/// them, make some differ from run to run.
const SILENT_BYTES: f64 = 920.0; // 856
const SILENT_BLOCKS: f64 = 3.1; // 3.00
const HANDSHAKE_ALLOCATIONS: f64 = 27.0; // 25.7
const IDLE_BYTES: f64 = 860.0; // 796 to 799
const IDLE_BLOCKS: f64 = 4.4; // 4.25
/// After a large message: more than before it.
const KEPT_BYTES: f64 = 4.0; // -0.6 to 0.2
/// For those who have gone: room in the tables, for the next.
const LEFT_BYTES: f64 = 50.0; // 44 to 46
const LEFT_BLOCKS: f64 = 0.27; // 0.24
/// When as many have come and gone again: more than after the first time.
const LOST_BYTES: f64 = 15.0; // 8 to 10
const LOST_BLOCKS: f64 = 0.05; // 0.00 to 0.01
/// All that is counted for an echo is what the counting itself allocates.
const ECHO_ALLOCATIONS: f64 = 0.02; // 0.01
/// To one of a hundred.
const DELIVERY_ALLOCATIONS: f64 = 0.1; // 0.04

/// What has come since, for each connection.
fn more(now: usize, before: usize) -> f64 {
    (now as f64 - before as f64) / CONNECTIONS as f64
}

/// Starts a server that already has what it takes once and for all.
fn start() -> (Server, Stock) {
    let mut server = Server::start();
    let mut clients: Vec<_> = (0..10).map(|_| connect(&server)).collect();
    echo_together(&mut clients, LARGE);
    echo(&mut clients, SMALL, 10);
    drop(clients);
    let stock = server.stock_when(CLIENTS, 0);
    (server, stock)
}

#[test]
fn a_connection_that_has_said_nothing() {
    let (mut server, empty) = start();
    let _connections: Vec<_> = (0..CONNECTIONS).map(|_| connect_silent(&server)).collect();
    let full = server.stock_when("/handshakes/in_progress", CONNECTIONS);
    assert_at_most(SILENT_BYTES, "bytes for a silent connection", more(full.live_bytes, empty.live_bytes));
    assert_at_most(SILENT_BLOCKS, "blocks for a silent connection", more(full.live_blocks, empty.live_blocks));
    server.end();
}

#[test]
fn an_idle_client_before_and_after_a_large_message() {
    let (mut server, empty) = start();
    let mut clients = connect_all(&mut server, CONNECTIONS);
    let idle = server.stock();
    assert_at_most(IDLE_BYTES, "bytes for an idle client", more(idle.live_bytes, empty.live_bytes));
    assert_at_most(IDLE_BLOCKS, "blocks for an idle client", more(idle.live_blocks, empty.live_blocks));
    let allocations = more(idle.allocations, empty.allocations);
    assert_at_most(HANDSHAKE_ALLOCATIONS, "allocations for a handshake", allocations);

    echo_together(&mut clients, LARGE);
    let again = server.stock();
    let kept = more(again.live_bytes, idle.live_bytes);
    assert_at_most(KEPT_BYTES, "bytes that a client keeps of a large message", kept);

    drop(clients);
    let left = server.stock_when(CLIENTS, 0);
    assert_at_most(LEFT_BYTES, "bytes for a client that has left", more(left.live_bytes, empty.live_bytes));
    assert_at_most(LEFT_BLOCKS, "blocks for a client that has left", more(left.live_blocks, empty.live_blocks));

    drop(connect_all(&mut server, CONNECTIONS));
    let later = server.stock_when(CLIENTS, 0);
    assert_at_most(LOST_BYTES, "bytes lost by the next that leaves", more(later.live_bytes, left.live_bytes));
    assert_at_most(LOST_BLOCKS, "blocks lost by the next that leaves", more(later.live_blocks, left.live_blocks));
    server.end();
}

#[test]
fn an_echo_and_a_delivery() {
    const TIMES: usize = 10_000;
    const EVERYBODY: usize = 100;
    let (mut server, _) = start();
    let mut clients = connect_all(&mut server, EVERYBODY);
    broadcast(&mut clients, SMALL, 2);
    let before = server.stock();
    echo(&mut clients[..1], SMALL, TIMES);
    let echoed = server.stock();
    broadcast(&mut clients, SMALL, TIMES / EVERYBODY);
    let delivered = server.stock();

    let each = |now: &Stock, before: &Stock| (now.allocations - before.allocations) as f64 / TIMES as f64;
    assert_at_most(ECHO_ALLOCATIONS, "allocations for an echo", each(&echoed, &before));
    assert_at_most(DELIVERY_ALLOCATIONS, "allocations for a delivery", each(&delivered, &echoed));
    server.end();
}
