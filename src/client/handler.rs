//! What a gateway does with its clients' messages: the one trait between a session and what it carries.

use super::close_record::CloseRecord;
use super::handle::GatewayClient;
use crate::ws::Message;
use std::pin::Pin;
use std::sync::Arc;

/// A future on the heap that may be awaited on any thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Handles the messages of clients, and their connecting and disconnecting.
///
/// All methods are called on the session's task, in order and one at a time for a client, and must not block. Answers are
/// sent by [`GatewayClient::send`]. A panic in [`on_message`](Self::on_message) or in its future closes this client with
/// [`CloseReason::InternalError`](super::CloseReason::InternalError) and no other.
pub trait Handler: Send + Sync + 'static {
    /// A message was received. Work that takes longer than a fraction of a millisecond belongs into the returned future:
    /// the client's next message is read when it has finished, and it is dropped when the client is closed. It should
    /// yield (`tokio::task::coop::consume_budget`) now and then, so that other clients are served meanwhile.
    fn on_message(&self, client: &Arc<GatewayClient>, message: Message) -> Option<BoxFuture<'static, ()>>;

    /// A client has connected, and is in the registry.
    fn on_connect(&self, _client: &Arc<GatewayClient>) {}

    /// A client is closing: no further message of it will be read.
    fn on_closing(&self, _client: &Arc<GatewayClient>) {}

    /// A client has disconnected, and is no longer in the registry. Called once for each client that has connected.
    fn on_disconnect(&self, _client: &Arc<GatewayClient>, _record: CloseRecord) {}

    /// The presence key got its first client. Like [`on_left`](Self::on_left), called with the key's shard locked: calls for
    /// one key never overlap, and calling `Presence` from here deadlocks.
    fn on_joined(&self, _client: &Arc<GatewayClient>) {}

    /// The last client of its presence key is closing; [`on_disconnect`](Self::on_disconnect) follows.
    fn on_left(&self, _client: &Arc<GatewayClient>) {}

    /// The gateway starts to drain: all clients will be closed, beginning a moment later.
    fn on_drain(&self) {}
}
