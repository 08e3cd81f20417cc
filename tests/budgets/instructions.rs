//! Instructions in user space. A new compiler or library may change them by a few percent: then the bounds are recorded
//! anew. The heartbeat's ticks are in them, at 4,800 each: more of them where the machine is busy.

use crate::bound::assert_at_most;
use crate::callgrind::Simulated;
use crate::clients::{broadcast, connect, connect_all, echo};

/// 36,500 to 37,300 when recorded, as the tables of clients happen to grow.
const HANDSHAKE: f64 = 40_000.0;
/// 4,770 to 4,810 when recorded; 64 bytes, one under way at a time.
const ECHO: f64 = 5_250.0;
/// 940 to 970 when recorded; of 64 bytes to 100 clients, who lie in as many of the registry's shards.
const DELIVERY: f64 = 1_100.0;

#[test]
fn a_handshake_an_echo_and_a_delivery() {
    const CLIENTS: usize = 100;
    const ECHOES: usize = 2_000;
    const BROADCASTS: usize = 20;
    /// Who come when it is known what an echo takes among few,
    const OTHERS: usize = 900;
    /// and how much more it may take among so many: 40 ticks of the heartbeat's, which one of both may have more on a
    /// busy machine, are 2 %. A step for each client there is would be 20 %.
    const GROWTH: f64 = 1.05;
    let Some(mut simulated) = Simulated::start() else { return };
    let server = &mut simulated.server;
    // What is done once and for all, and the tables' first growth.
    drop(connect_all(server, CLIENTS));
    let empty = server.stock_when("/clients/total_connections", 0);
    let mut clients = connect_all(server, CLIENTS);
    let connected = server.stock();
    echo(&mut clients, 64, 2);
    broadcast(&mut clients, 64, 2);
    let warm = server.stock();
    echo(&mut clients[..1], 64, ECHOES);
    let echoed = server.stock();
    broadcast(&mut clients, 64, BROADCASTS);
    let delivered = server.stock();
    let _others: Vec<_> = (0..OTHERS).map(|_| connect(server)).collect();
    let crowded = server.stock_when("/clients/total_connections", CLIENTS + OTHERS);
    echo(&mut clients[..1], 64, ECHOES);
    let echoed_among_many = server.stock();

    let handshake = simulated.between(&empty, &connected) / CLIENTS as f64;
    assert_at_most(HANDSHAKE, "instructions for a handshake", handshake);
    let echo_among_few = simulated.between(&warm, &echoed) / ECHOES as f64;
    assert_at_most(ECHO, "instructions for an echo", echo_among_few);
    let deliveries = (CLIENTS * BROADCASTS) as f64;
    let delivery = simulated.between(&echoed, &delivered) / deliveries;
    assert_at_most(DELIVERY, "instructions for a delivery", delivery);
    let echo_among_many = simulated.between(&crowded, &echoed_among_many) / ECHOES as f64;
    assert_at_most(GROWTH * echo_among_few, "instructions for an echo among a thousand", echo_among_many);
    simulated.server.end();
}
