//! One message to many clients.

use super::GatewayClient;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Sockets that one task writes to before others have their turn.
const PER_TASK: usize = 128;

/// Sends a text to each of these clients, behind what waits for it. Never waits.
///
/// The text is shared; until it is written, each client beyond the first hundred or so takes about 200 bytes. It is queued
/// for everybody before this returns, so whatever is sent later comes later; the writing is spread over the runtime's
/// workers. Who is full is closed as [`CloseReason::SlowConsumer`](super::CloseReason::SlowConsumer), who is closed is passed
/// over.
pub fn broadcast(mut clients: Vec<Arc<GatewayClient>>, text: Utf8Bytes) {
    let mut others = clients.split_off(clients.len().min(PER_TASK));
    // The session of a client that is full closes it; one that is closed has no need of the text. Where a task is on its
    // way already, it takes this text too: there are never more tasks than it takes for all clients.
    others.retain(|client| client.sender.queue(text.clone()).unwrap_or(false));
    while !others.is_empty() {
        let part = others.split_off(others.len().saturating_sub(PER_TASK));
        let write = move || part.iter().for_each(|client| client.sender.write_queued());
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { write() })),
            Err(_) => write(),
        }
    }
    for client in clients {
        let _ = client.send(text.clone());
    }
}
