//! Instructions in user space. A new compiler or library may change them by a few percent; the bounds are recorded again
//! then. They include the heartbeat's ticks, 4,800 each, of which a busy machine has more.

use crate::bound::assert_at_most;
use crate::callgrind::SimulatedServer;
use crate::clients::{broadcast, connect, connect_all, echo};

/// Recorded: 36,500 to 37,300, depending on how the tables of clients grow.
const HANDSHAKE: f64 = 40_000.0;
/// Recorded: 4,770 to 4,810. Messages of 64 bytes, one at a time.
const ECHO: f64 = 5_250.0;
/// Recorded: 940 to 970. Messages of 64 bytes to 100 clients, spread over all shards of the registry.
const DELIVERY: f64 = 1_100.0;

#[test]
fn handshake_echo_and_delivery_stay_within_their_instructions() {
    const CLIENTS: usize = 100;
    const ECHOES: usize = 2_000;
    const BROADCASTS: usize = 20;
    /// Clients that connect after the first echoes.
    const OTHERS: usize = 900;
    /// How many times more an echo may cost with these clients. On a busy machine 40 more ticks of the heartbeat are 2 %;
    /// one step for each client would be 20 %.
    const GROWTH: f64 = 1.05;
    let Some(mut simulated) = SimulatedServer::start() else { return };
    let server = &mut simulated.server;
    // Costs that occur once, and the first growth of the tables.
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

    let handshake = simulated.between(&empty, &connected) / CLIENTS as f64;
    assert_at_most(HANDSHAKE, "instructions for a handshake", handshake);
    let echo_among_few = simulated.between(&warm, &echoed) / ECHOES as f64;
    assert_at_most(ECHO, "instructions for an echo", echo_among_few);
    let deliveries = (CLIENTS * BROADCASTS) as f64;
    let delivery = simulated.between(&echoed, &delivered) / deliveries;
    assert_at_most(DELIVERY, "instructions for a delivery", delivery);
    let echo_among_many = simulated.between(&connected_all, &echoed_among_many) / ECHOES as f64;
    assert_at_most(GROWTH * echo_among_few, "instructions for an echo with 1,000 clients", echo_among_many);
    simulated.server.stop();
}
