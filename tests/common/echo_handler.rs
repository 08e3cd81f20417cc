//! A handler that isn't JSON-RPC: it echoes each message, but sends those that start with `!` to all clients.

use aisopod_gateway::{BoxFuture, ClientRegistry, GatewayClient, Handler, Message};
use std::sync::Arc;

/// The first byte of a message to all clients.
pub const BROADCAST: u8 = b'!';

pub struct Echo {
    pub registry: Arc<ClientRegistry>,
}

impl Handler for Echo {
    fn on_message(&self, client: &Arc<GatewayClient>, message: Message) -> Option<BoxFuture<'static, ()>> {
        if message.payload().first() == Some(&BROADCAST) {
            self.registry.broadcast(message);
        } else {
            // If this fails, the session closes the client.
            let _ = client.send(message);
        }
        None
    }
}
