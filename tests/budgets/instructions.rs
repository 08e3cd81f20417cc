//! Instructions in user space. A new compiler or library may change the counts by a few percent; then record the bounds
//! again. The counts include the heartbeat's timer: 4,800 instructions per tick, and more ticks on a slow machine.

use crate::bound::assert_at_most;
use crate::callgrind::CallgrindServer;
use crate::clients::{broadcast, connect, connect_all, echo};

/// Recorded: 39,200 to 39,450, depending on how the tables of clients grow.
const HANDSHAKE: f64 = 41_000.0;
/// Recorded: 5,100 to 5,190. Messages of 64 bytes, one at a time.
const ECHO: f64 = 5_250.0;
/// Recorded: 1,030 to 1,045. Messages of 64 bytes to 100 clients, in random shards of the registry.
const DELIVERY: f64 = 1_075.0;

#[test]
fn handshake_echo_and_delivery_stay_within_their_instructions() {
    const CLIENTS: usize = 100;
    const ECHOES: usize = 2_000;
    const BROADCASTS: usize = 20;
    /// Clients that connect after the first echoes.
    const OTHERS: usize = 900;
    /// The factor by which these clients may raise the cost of an echo. 40 more timer ticks on a busy machine add
    /// 2 %; one more instruction per echo for each of these clients would add 19 %.
    const GROWTH: f64 = 1.05;
    let Some(mut profiled) = CallgrindServer::start() else { return };
    let server = &mut profiled.server;
    // Warm-up: one-time costs, and the first growth of the client tables.
    drop(connect_all(server, CLIENTS));
    let empty = server.snapshot_when("/clients/total_connections", 0);
    let mut clients = connect_all(server, CLIENTS);
    let connected = server.snapshot();
    echo(&mut clients, 64, 2);
    broadcast(&mut clients, 64, 2);
    let warm = server.snapshot();
    echo(&mut clients[..1], 64, ECHOES);
    let echoed = server.snapshot();
    broadcast(&mut clients, 64, BROADCASTS);
    let delivered = server.snapshot();
    let _others: Vec<_> = (0..OTHERS).map(|_| connect(server)).collect();
    let connected_all = server.snapshot_when("/clients/total_connections", CLIENTS + OTHERS);
    echo(&mut clients[..1], 64, ECHOES);
    let echoed_among_many = server.snapshot();

    let handshake = profiled.between(&empty, &connected) / CLIENTS as f64;
    assert_at_most(HANDSHAKE, "instructions for a handshake", handshake);
    let echo_among_few = profiled.between(&warm, &echoed) / ECHOES as f64;
    assert_at_most(ECHO, "instructions for an echo", echo_among_few);
    let deliveries = (CLIENTS * BROADCASTS) as f64;
    let delivery = profiled.between(&echoed, &delivered) / deliveries;
    assert_at_most(DELIVERY, "instructions for a delivery", delivery);
    let echo_among_many = profiled.between(&connected_all, &echoed_among_many) / ECHOES as f64;
    assert_at_most(GROWTH * echo_among_few, "instructions for an echo with 1,000 clients", echo_among_many);
    profiled.server.stop();
}
