//! What happens to a client, as told to the rest of the process.

use super::close_record::CloseRecord;
use super::handle::GatewayClient;
use std::fmt;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// What to do with a message from a client, and with its coming and going.
///
/// Called on the session's task, in order, one call for a client at a time: it must not block. Answers go through
/// [`GatewayClient::send`]. A panic in [`on_message`](Self::on_message), or in what it leaves to do, closes this client
/// with [`CloseReason::InternalError`](super::CloseReason::InternalError) and no other.
pub trait Handler: Send + Sync + 'static {
    /// One text message has come. What takes longer than [a turn](turn_is_over) is done piece by piece, and before the
    /// client's next message: this returns what is left to do, if anything is.
    fn on_message(&self, client: &Arc<GatewayClient>, text: Utf8Bytes) -> Option<Rest>;

    /// A client has come, and is in the registry.
    fn on_connect(&self, _client: &Arc<GatewayClient>) {}

    /// It is being closed: no message of it will be read any more.
    fn on_closing(&self, _client: &Arc<GatewayClient>) {}

    /// It has gone, and is in the registry no more. Called once for each client that has come.
    fn on_disconnect(&self, _client: &Arc<GatewayClient>, _closed: CloseRecord) {}

    /// The first client of its presence key has come. This and [`on_left`](Self::on_left) are called in turns for a key,
    /// under the key's lock: no others of this key come or go meanwhile, and asking for presence in it would wait for ever.
    fn on_joined(&self, _client: &Arc<GatewayClient>) {}

    /// The last client of its presence key is being closed, or has gone; [`on_disconnect`](Self::on_disconnect) comes when it
    /// has.
    fn on_left(&self, _client: &Arc<GatewayClient>) {}

    /// The gateway begins to drain: all clients will be asked to leave, a moment later.
    fn on_drain(&self) {}
}

/// What is left to do of a message: its client goes on with it after others have had their turn. A client that is closed
/// meanwhile drops it.
pub struct Rest(Box<dyn FnOnce() -> Option<Rest> + Send>);

impl Rest {
    /// `go_on` does the next piece, and returns what is left then.
    pub fn new(go_on: impl FnOnce() -> Option<Rest> + Send + 'static) -> Self {
        Rest(Box::new(go_on))
    }

    /// Does the next piece.
    pub fn go_on(self) -> Option<Rest> {
        self.0()
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest(..)")
    }
}
