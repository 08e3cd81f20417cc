//! The two types that there is one of for each client.

use crate::bound::assert_at_most;
use aisopod_gateway::{GatewayClient, Session};

/// Bytes; what they were when recorded.
const SESSION: f64 = 64.0;
const CLIENT: f64 = 176.0;

#[test]
fn a_session_and_a_client_are_small() {
    assert_at_most(SESSION, "bytes of a Session", size_of::<Session>() as f64);
    assert_at_most(CLIENT, "bytes of a GatewayClient", size_of::<GatewayClient>() as f64);
}
