//! One message to many clients: enqueued for each of them, written by several tasks.

use crate::budget;
use crate::client::GatewayClient;
use crate::registry::ClientRegistry;
use crate::ws::Message;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Clients that one task writes to, at most. Each of them may cost a system call.
const CLIENTS_PER_TASK: usize = 128;

/// Up to this many clients are flushed by the caller. If there are more, new tasks flush them all; they also write what
/// has been enqueued by the time they run.
const INLINE_MAX: usize = 16;

impl ClientRegistry {
    /// Sends a message to each client, after the messages in its outbox. Never waits.
    ///
    /// The clients share its data. This call itself sends it to the first 128; for each other client it takes about
    /// 200 bytes until it is written. It is enqueued for all clients before this returns, so messages sent later arrive
    /// later; the writing is spread over the runtime's workers. A client whose outbox is full is closed with
    /// [`CloseReason::SlowConsumer`](crate::client::CloseReason::SlowConsumer); closed clients are skipped.
    pub fn broadcast(&self, message: impl Into<Message>) {
        let (mut clients, message) = (self.list(), message.into());
        sort_by_address(&mut clients);
        let others = clients.split_off(clients.len().min(CLIENTS_PER_TASK));
        let (_, pending) = enqueue_all(&others, &message);
        pending.flush_in_tasks();
        for client in clients {
            // An error means that the client is closed, or is being closed for its full outbox.
            let _ = client.send(message.clone());
        }
    }
}

/// Enqueues `message` for each client. Writes only to a client whose outbox is full, so the caller may hold a lock that
/// keeps messages in order. Returns how many accepted it, and the clients to flush after that lock is released.
pub fn enqueue_all<'a>(
    clients: impl IntoIterator<Item = &'a Arc<GatewayClient>>,
    message: &Message,
) -> (usize, PendingFlush) {
    let (mut accepted, mut pending) = (0, Vec::new());
    let mut visits = 0;
    for client in clients {
        visits += 1;
        // An error means that the client is closed, or is being closed for its full outbox.
        let Ok(needs_flush) = client.outbox.enqueue(message.clone()) else { continue };
        accepted += 1;
        // If no flush is needed, another task is about to flush this client and writes this message too. So messages
        // that are enqueued faster than they are written don't start one flush each.
        if needs_flush {
            pending.push(client.clone());
        }
    }
    budget::charge(visits);
    (accepted, PendingFlush(pending))
}

/// Clients with enqueued messages that have yet to be flushed.
#[must_use = "enqueued messages wait until they are flushed"]
#[derive(Default)]
pub struct PendingFlush(Vec<Arc<GatewayClient>>);

impl PendingFlush {
    /// Writes on the current task if there are at most [`INLINE_MAX`] clients; otherwise new tasks write to them all.
    pub fn flush(self) {
        if self.0.len() <= INLINE_MAX { flush_all(&self.0) } else { self.flush_in_tasks() }
    }

    /// Leaves all writing to new tasks, so the caller may hold a lock. Outside a runtime it writes itself.
    pub fn flush_in_tasks(mut self) {
        sort_by_address(&mut self.0);
        while !self.0.is_empty() {
            let batch = self.0.split_off(self.0.len().saturating_sub(CLIENTS_PER_TASK));
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { flush_all(&batch) })),
                Err(_) => flush_all(&batch),
            }
        }
    }
}

/// Sorts clients by their memory addresses. That is about the order in which they connected, so their sockets in the
/// kernel are in order too. In the random order of the registry, 10,000 deliveries cost a tenth more CPU, because of
/// cache misses in the gateway and in the kernel.
fn sort_by_address(clients: &mut [Arc<GatewayClient>]) {
    clients.sort_unstable_by_key(Arc::as_ptr);
}

fn flush_all(clients: &[Arc<GatewayClient>]) {
    clients.iter().for_each(|client| client.outbox.flush());
}
