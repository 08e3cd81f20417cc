//! One message to many clients.

use crate::budget;
use crate::client::GatewayClient;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Sockets that one task writes to before others have their turn.
const CLIENTS_PER_TASK: usize = 128;

/// Clients that are written to at once; more are gathered for, while tasks for them wait for their turn.
const INLINE_MAX: usize = 16;

/// Sends a text to each of these clients, behind what waits for it. Never waits.
///
/// The text is shared; until it is written, each client beyond the first hundred or so takes about 200 bytes. It is queued
/// for everybody before this returns, so whatever is sent later comes later; the writing is spread over the runtime's
/// workers. Who is full is closed as [`CloseReason::SlowConsumer`](super::CloseReason::SlowConsumer), who is closed is passed
/// over.
pub fn broadcast(mut clients: Vec<Arc<GatewayClient>>, text: Utf8Bytes) {
    let others = clients.split_off(clients.len().min(CLIENTS_PER_TASK));
    let (_, pending) = enqueue_all(&others, &text);
    pending.flush_in_tasks();
    for client in clients {
        let _ = client.send(text.clone());
    }
}

/// Queues a text for each of these clients, behind what waits for it, and writes only to whom there is no room otherwise, so
/// that a lock that keeps the order may be held. Returns for how many, and what is to be written once it isn't held any more.
pub fn enqueue_all<'a>(
    clients: impl IntoIterator<Item = &'a Arc<GatewayClient>>,
    text: &Utf8Bytes,
) -> (usize, PendingFlush) {
    let (mut queued, mut pending) = (0, Vec::new());
    let mut looks = 0;
    for client in clients {
        looks += 1;
        // The session of a client that is full closes it; one that is closed has no need of the text.
        let Ok(needs_writer) = client.outbox.enqueue(text.clone()) else { continue };
        queued += 1;
        // Where a task is on its way already, it takes this text too: there are never more tasks than it takes for all
        // clients.
        if needs_writer {
            pending.push(client.clone());
        }
    }
    budget::charge(looks);
    (queued, PendingFlush(pending))
}

/// Clients for which something was queued that nobody writes yet.
#[must_use = "what is queued waits until it is written"]
#[derive(Default)]
pub struct PendingFlush(Vec<Arc<GatewayClient>>);

impl PendingFlush {
    /// Writes to them if they are few, or has tasks do it: what is queued until those have their turn leaves in one write.
    pub fn flush(self) {
        if self.0.len() <= INLINE_MAX { flush_all(&self.0) } else { self.flush_in_tasks() }
    }

    /// Writes nothing itself.
    pub fn flush_in_tasks(mut self) {
        while !self.0.is_empty() {
            let part = self.0.split_off(self.0.len().saturating_sub(CLIENTS_PER_TASK));
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { flush_all(&part) })),
                Err(_) => flush_all(&part),
            }
        }
    }
}

fn flush_all(clients: &[Arc<GatewayClient>]) {
    clients.iter().for_each(|client| client.outbox.flush());
}
