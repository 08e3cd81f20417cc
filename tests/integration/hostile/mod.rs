//! Broken and malicious peers, and what a machine does to a gateway. Beside each a healthy client goes on as before, and
//! nothing of the attack is left behind.

mod frames;
mod machine;
mod requests;
mod storm;

use crate::common::{Client, Gateway};

/// Runs `attack` beside a healthy client. After it, that client and new ones must be served, and no other connection may
/// be left.
fn survives(settings: &str, attack: impl FnOnce(&Gateway)) -> Gateway {
    let gateway = Gateway::start(settings);
    let mut healthy = gateway.connect();
    gateway.wait_for_clients(1);
    let descriptors = gateway.open_descriptors();
    attack(&gateway);
    assert_served(&mut healthy);
    assert_served(&mut gateway.connect());
    gateway.wait_for_status("nothing of other connections is left", |status| {
        status["clients"]["total_connections"] == 1
            && status["process"]["open_descriptors"] == descriptors
            && status["handshakes"]["in_progress"] == 0
            // What the request for `/status` itself holds.
            && status["memory"]["held_bytes"].as_u64() <= Some(16_384)
    });
    gateway
}

fn assert_served(client: &mut Client) {
    assert_eq!(client.call("gateway.ping")["result"], "pong");
}
