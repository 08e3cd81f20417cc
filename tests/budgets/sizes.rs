//! Sizes of the types that exist once for each client.

use crate::bound::assert_at_most;
use aisopod_gateway::GatewayClient;
use aisopod_gateway::internals::Session;

/// Bytes, as recorded.
const SESSION: f64 = 72.0;
const CLIENT: f64 = 184.0;

#[test]
fn session_and_client_do_not_grow() {
    assert_at_most(SESSION, "bytes of a Session", size_of::<Session>() as f64);
    assert_at_most(CLIENT, "bytes of a GatewayClient", size_of::<GatewayClient>() as f64);
}
