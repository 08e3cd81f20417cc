//! Bytes and blocks on the heap for each connection, and allocations for each message. They include neither the kernel's
//! memory nor the overhead of the allocator.

use crate::bound::assert_at_most;
use crate::clients::{broadcast, connect, connect_all, connect_silent, echo, echo_concurrently};
use crate::serve::{Protocol, Snapshot};
use crate::server::Server;
use test_support::frames::{FIN, TEXT, client_frame};

const CONNECTIONS: usize = 1_000;
const SMALL: usize = 64;
const LARGE: usize = 256 * 1024;
const CLIENTS: &str = "/clients/total_connections";

/// Bounds for one connection, each with the recorded count. The tables of clients grow as random IDs fill them, so some
/// counts differ between runs.
const SILENT_BYTES: f64 = 960.0; // 944
const SILENT_BLOCKS: f64 = 3.1; // 3.00
const HANDSHAKE_ALLOCATIONS: f64 = 27.0; // 25.7
const IDLE_BYTES: f64 = 860.0; // 796 to 799
const IDLE_BLOCKS: f64 = 4.4; // 4.25
/// Growth of an idle client by a large message. A worker's cached codec keeps a buffer of a few kilobytes.
const KEPT_BYTES: f64 = 10.0; // 0 to 4.2
/// Growth of an idle client by the header of a frame of [`LARGE`] bytes, and one byte of its payload: the reader that waits
/// for the others, and the codec's buffer for the first 4 KiB.
const ANNOUNCED_BYTES: f64 = 4800.0; // 4572
/// What remains allocated per client after all have disconnected: spare capacity of the tables.
const REMAINING_BYTES: f64 = 50.0; // 44 to 46
const REMAINING_BLOCKS: f64 = 0.27; // 0.24
/// Growth of what remains, per client, by a second round of the same connects and disconnects, as a leak would cause.
const LEAKED_BYTES: f64 = 15.0; // 8 to 10
const LEAKED_BLOCKS: f64 = 0.05; // 0.00 to 0.01
/// An echo allocates nothing; these are the snapshots' own allocations.
const ECHO_ALLOCATIONS: f64 = 0.02; // 0.01
/// For one of 100 recipients.
const DELIVERY_ALLOCATIONS: f64 = 0.1; // 0.04

/// The growth for each connection.
fn growth(now: usize, before: usize) -> f64 {
    (now as f64 - before as f64) / CONNECTIONS as f64
}

/// Starts a server and makes the allocations that occur once.
fn start() -> (Server, Snapshot) {
    let mut server = Server::start(Protocol::Echo);
    let mut clients: Vec<_> = (0..10).map(|_| connect(&server)).collect();
    echo_concurrently(&mut clients, LARGE);
    echo(&mut clients, SMALL, 10);
    drop(clients);
    let snapshot = server.snapshot_when(CLIENTS, 0);
    (server, snapshot)
}

#[test]
fn silent_connection_stays_within_its_memory() {
    let (mut server, empty) = start();
    let _connections: Vec<_> = (0..CONNECTIONS).map(|_| connect_silent(&server)).collect();
    let full = server.snapshot_when("/handshakes/in_progress", CONNECTIONS);
    assert_at_most(SILENT_BYTES, "bytes for a silent connection", growth(full.live_bytes, empty.live_bytes));
    assert_at_most(SILENT_BLOCKS, "blocks for a silent connection", growth(full.live_blocks, empty.live_blocks));
    server.stop();
}

#[test]
fn idle_client_stays_within_its_memory_and_leaves_none() {
    let (mut server, empty) = start();
    let mut clients = connect_all(&mut server, CONNECTIONS);
    let idle = server.snapshot();
    assert_at_most(IDLE_BYTES, "bytes for an idle client", growth(idle.live_bytes, empty.live_bytes));
    assert_at_most(IDLE_BLOCKS, "blocks for an idle client", growth(idle.live_blocks, empty.live_blocks));
    let allocations = growth(idle.allocations, empty.allocations);
    assert_at_most(HANDSHAKE_ALLOCATIONS, "allocations for a handshake", allocations);

    echo_concurrently(&mut clients, LARGE);
    let after = server.snapshot();
    let kept = growth(after.live_bytes, idle.live_bytes);
    assert_at_most(KEPT_BYTES, "bytes that a client keeps of a large message", kept);

    let frame = client_frame(FIN | TEXT, &[b'x'; LARGE]);
    // A header of 14 bytes, and then one byte of its payload.
    clients.iter_mut().for_each(|client| client.send(&frame[..15]));
    let announced = server.snapshot_when("/memory/held_bytes", CONNECTIONS);
    let reserved = growth(announced.live_bytes, after.live_bytes);
    assert_at_most(ANNOUNCED_BYTES, "bytes that the header of a large message reserves", reserved);

    drop(clients);
    let left = server.snapshot_when(CLIENTS, 0);
    assert_at_most(REMAINING_BYTES, "bytes for a client that has left", growth(left.live_bytes, empty.live_bytes));
    assert_at_most(REMAINING_BLOCKS, "blocks for a client that has left", growth(left.live_blocks, empty.live_blocks));

    drop(connect_all(&mut server, CONNECTIONS));
    let later = server.snapshot_when(CLIENTS, 0);
    assert_at_most(LEAKED_BYTES, "bytes leaked per later client", growth(later.live_bytes, left.live_bytes));
    assert_at_most(LEAKED_BLOCKS, "blocks leaked per later client", growth(later.live_blocks, left.live_blocks));
    server.stop();
}

#[test]
fn echo_and_delivery_do_not_allocate() {
    const ECHOES: usize = 10_000;
    const CLIENTS: usize = 100;
    let (mut server, _) = start();
    let mut clients = connect_all(&mut server, CLIENTS);
    broadcast(&mut clients, SMALL, 2);
    let before = server.snapshot();
    echo(&mut clients[..1], SMALL, ECHOES);
    let echoed = server.snapshot();
    broadcast(&mut clients, SMALL, ECHOES / CLIENTS);
    let delivered = server.snapshot();

    let each = |now: &Snapshot, before: &Snapshot| (now.allocations - before.allocations) as f64 / ECHOES as f64;
    assert_at_most(ECHO_ALLOCATIONS, "allocations for an echo", each(&echoed, &before));
    assert_at_most(DELIVERY_ALLOCATIONS, "allocations for a delivery", each(&delivered, &echoed));
    server.stop();
}
