//! What happens to a client, as told to the rest of the process.

use super::{Closed, GatewayClient, Utf8Bytes};
use std::sync::Arc;

/// What to do with a message from a client, and with its coming and going.
///
/// Called on the session's task, in order, one call for a client at a time: it must not block. Answers go through
/// [`GatewayClient::send`]. A panic in [`on_message`](Self::on_message) closes this client with
/// [`CloseReason::InternalError`](super::CloseReason::InternalError) and no other.
pub trait Handler: Send + Sync + 'static {
    /// One text message has come.
    fn on_message(&self, client: &Arc<GatewayClient>, text: Utf8Bytes);

    /// A client has come, and is in the registry.
    fn on_connect(&self, _client: &Arc<GatewayClient>) {}

    /// It is being closed: no message of it will be read any more.
    fn on_closing(&self, _client: &Arc<GatewayClient>) {}

    /// It has gone, and is in the registry no more. Called once for each client that has come.
    fn on_disconnect(&self, _client: &Arc<GatewayClient>, _closed: Closed) {}

    /// The first client of its presence key has come. This and [`on_left`](Self::on_left) are called in turns for a key,
    /// under the key's lock: no others of this key come or go meanwhile, and asking for presence in it would wait for ever.
    fn on_joined(&self, _client: &Arc<GatewayClient>) {}

    /// The last client of its presence key has gone.
    fn on_left(&self, _client: &Arc<GatewayClient>) {}

    /// The gateway begins to drain: all clients will be asked to leave, a moment from now.
    fn on_drain(&self) {}
}
