//! One message to many clients: enqueued for each of them, written by several tasks.

use crate::budget;
use crate::client::{GatewayClient, Outgoing};
use crate::memory::{Charge, MemoryAccount};
use crate::registry::ClientRegistry;
use crate::ws::Message;
use hyper::body::Bytes;
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
        let Some(shared) = clients.first().map(|client| SharedMessage::new(&message, client.outbox.memory())) else {
            return;
        };
        for client in clients {
            // An error means that the client is closed, or is being closed for its full outbox.
            let _ = client.outbox.send_outgoing(shared.outgoing());
        }
    }
}

/// A message to several clients, whose payload is in the account of memory once, until the last of them has it.
struct SharedMessage(Message);

impl SharedMessage {
    fn new(message: &Message, memory: &Arc<MemoryAccount>) -> Self {
        let charged = |payload: Bytes| {
            let _charge = Charge::new(memory, payload.len() as u64);
            Bytes::from_owner(ChargedPayload { payload, _charge })
        };
        SharedMessage(match message {
            Message::Text(text) => {
                let text = charged(text.clone().into()).try_into();
                Message::Text(text.expect("the bytes are those of a text"))
            }
            Message::Binary(data) => Message::Binary(charged(data.clone())),
        })
    }

    fn outgoing(&self) -> Outgoing {
        Outgoing { message: self.0.clone(), is_shared: true }
    }
}

/// A payload that is in the account of memory while it exists.
struct ChargedPayload {
    payload: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for ChargedPayload {
    fn as_ref(&self) -> &[u8] {
        &self.payload
    }
}

/// Enqueues `message` for each client. Writes only to a client whose outbox is full, so the caller may hold a lock that
/// keeps messages in order. Returns how many accepted it, and the clients to flush after that lock is released.
pub fn enqueue_all<'a>(
    clients: impl IntoIterator<Item = &'a Arc<GatewayClient>>,
    message: &Message,
) -> (usize, PendingFlush) {
    let (mut accepted, mut pending) = (0, Vec::new());
    let (mut visits, mut shared) = (0, None);
    for client in clients {
        visits += 1;
        let shared = shared.get_or_insert_with(|| SharedMessage::new(message, client.outbox.memory()));
        // An error means that the client is closed, or is being closed for its full outbox.
        let Ok(needs_flush) = client.outbox.enqueue(shared.outgoing()) else { continue };
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
