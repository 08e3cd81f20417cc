//! Closes the largest holders of memory while it is scarce.

use crate::client::GatewayClient;
use crate::memory::{MemoryAccount, SCARCE_SHARE};
use crate::registry::ClientRegistry;
use log::warn;
use std::cmp::Reverse;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::sleep;

/// The time between two looks at the clients while memory is scarce: those that were closed return theirs meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until memory is scarce, and then closes clients until it isn't; forever.
pub async fn run(memory: Arc<MemoryAccount>, registry: Arc<ClientRegistry>) -> Infallible {
    loop {
        memory.wait_scarce().await;
        let closed = close_largest(&memory, &registry).await;
        if closed > 0 {
            warn!(
                "memory for clients is scarce, and the largest holders are closed clients={closed} held_bytes={} \
                 max_bytes={}",
                memory.held(),
                memory.limit()
            );
        }
        sleep(PAUSE).await;
    }
}

/// Closes the clients that hold the most, as many as it takes until memory isn't scarce; none that holds little.
/// Returns their number.
async fn close_largest(memory: &MemoryAccount, registry: &ClientRegistry) -> usize {
    let mut holders = Vec::new();
    for index in 0.. {
        let Some(shard) = registry.shard(index) else { break };
        let clients = shard.filter(|_| true);
        holders.extend(clients.into_iter().filter_map(|client| {
            let held = client.held_bytes();
            (held > SCARCE_SHARE && client.close_reason().is_none()).then_some((held, client))
        }));
        yield_now().await;
    }
    holders.sort_unstable_by_key(|(held, _)| Reverse(*held));
    close_until_returned(memory.excess(), holders)
}

fn close_until_returned(excess: u64, holders: Vec<(u64, Arc<GatewayClient>)>) -> usize {
    let (mut returned, mut closed) = (0, 0);
    for (held, client) in holders {
        if returned >= excess {
            break;
        }
        returned += held;
        closed += usize::from(client.outbox.close_overloaded());
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthInfo, Role};
    use crate::client::CloseReason;

    #[tokio::test]
    async fn largest_holders_are_closed_until_memory_is_not_scarce_and_no_small_one() {
        let (memory, registry) = (MemoryAccount::new(8 << 20), ClientRegistry::new());
        let clients: Vec<_> = [0, 60_000, 2 << 20, 3 << 20, 4 << 20]
            .into_iter()
            .map(|bytes| {
                let client = GatewayClient::unconnected(AuthInfo::new("name", Role::Node, Vec::new()));
                client.activity.add_held(bytes);
                memory.add(bytes as u64);
                (registry.on_connect(client.clone()), client)
            })
            .collect();
        assert_eq!(close_largest(&memory, &registry).await, 1, "9 MiB of 8 MiB are held, scarce above 7");
        memory.add(10 << 20);
        assert_eq!(close_largest(&memory, &registry).await, 2, "closing all but the small ones isn't enough");
        let reasons: Vec<_> = clients.iter().map(|(_, client)| client.close_reason()).collect();
        let overloaded = Some(CloseReason::Overloaded);
        assert_eq!(reasons, [None, None, overloaded, overloaded, overloaded]);
    }
}
