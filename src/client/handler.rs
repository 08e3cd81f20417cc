//! The trait that handles the messages of clients: the only interface of a session to the modules above.

use super::close_record::CloseRecord;
use super::handle::GatewayClient;
use crate::runtime::BoxFuture;
use crate::ws::Message;
use std::sync::Arc;

/// Handles the messages of clients, and their connecting and disconnecting.
///
/// All methods but [`on_drain`](Self::on_drain) are called on the client's own task, in order and one at a time. None
/// may block. Responses are sent by [`GatewayClient::send`]. A panic in [`on_message`](Self::on_message) or in its
/// future closes this client with [`CloseReason::InternalError`](super::CloseReason::InternalError), and no other.
pub trait Handler: Send + Sync + 'static {
    /// A message was received. Work that takes longer than a fraction of a millisecond belongs in the returned future.
    ///
    /// Until the future has finished, nothing is read from the client, so it isn't closed for missing pongs either. The
    /// future is dropped when the client is closed. It should yield now and then (`tokio::task::coop::consume_budget`),
    /// so that other clients are served meanwhile.
    fn on_message(&self, client: &Arc<GatewayClient>, message: Message) -> Option<BoxFuture<'static, ()>>;

    /// A client has connected, and is in the registry.
    fn on_connect(&self, _client: &Arc<GatewayClient>) {}

    /// A client is closing: no further message of it will be read. Not called if its session is aborted.
    fn on_closing(&self, _client: &Arc<GatewayClient>) {}

    /// The connection of a client has ended, and the client is about to be removed from the registry: so a client is
    /// always in the registry, or its record was given here. Called once for each client, before
    /// [`on_disconnect`](Self::on_disconnect).
    fn on_ended(&self, _record: &CloseRecord) {}

    /// A client has disconnected, and is no longer in the registry. Called once for each client that has connected.
    fn on_disconnect(&self, _client: &Arc<GatewayClient>, _record: &CloseRecord) {}

    /// The presence key got its first client. Like [`on_left`](Self::on_left), called with the key's shard locked:
    /// calls for one key never overlap, and calling `Presence` from here deadlocks.
    fn on_joined(&self, _client: &Arc<GatewayClient>) {}

    /// The last client of its presence key is closing; [`on_disconnect`](Self::on_disconnect) follows.
    fn on_left(&self, _client: &Arc<GatewayClient>) {}

    /// The gateway starts to drain: all clients will be closed, beginning a moment later.
    fn on_drain(&self) {}
}
