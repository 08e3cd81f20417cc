//! Instructions in user space. A new compiler or library may change them by a few percent: then the bounds are recorded
//! anew.

use crate::bound::assert_at_most;
use crate::callgrind::Simulated;
use crate::clients::{broadcast, connect_all, echo};

/// 36,500 to 37,300 when recorded, as the tables of clients happen to grow.
const HANDSHAKE: f64 = 40_000.0;
/// 5,000 to 5,060 when recorded; 64 bytes, one under way at a time.
const ECHO: f64 = 5_500.0;
/// 860 when recorded; of 64 bytes to 100 clients.
const DELIVERY: f64 = 950.0;

#[test]
fn a_handshake_an_echo_and_a_delivery() {
    const CLIENTS: usize = 100;
    const ECHOES: usize = 2_000;
    const BROADCASTS: usize = 20;
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

    let handshake = simulated.between(&empty, &connected) / CLIENTS as f64;
    assert_at_most(HANDSHAKE, "instructions for a handshake", handshake);
    assert_at_most(ECHO, "instructions for an echo", simulated.between(&warm, &echoed) / ECHOES as f64);
    let deliveries = (CLIENTS * BROADCASTS) as f64;
    let delivery = simulated.between(&echoed, &delivered) / deliveries;
    assert_at_most(DELIVERY, "instructions for a delivery", delivery);
    simulated.server.end();
}
