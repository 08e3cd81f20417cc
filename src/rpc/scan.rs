//! Work on clients, of whom there may be a million: a shard of the registry at a time, in as many turns as it takes.

use super::call::{Call, CallResult, Progress};
use super::error::RpcError;
use super::filter::Filter;
use super::hub::Hub;
use super::work::Work;
use crate::client::{ConnId, GatewayClient, take_turns, turn_is_over};
use std::ops::ControlFlow;
use std::sync::Arc;

/// What is done with clients.
pub(super) trait Visitor: Send + 'static {
    /// Whether a client is to be visited. Asked under a shard's lock: it must not take long, or another lock.
    fn wants(&self, client: &GatewayClient) -> bool;

    /// Some more clients.
    fn visit(&mut self, clients: Vec<Arc<GatewayClient>>);

    /// What came of it, as JSON, when all were visited.
    fn result(self) -> String;
}

/// Has the visitor visit one client, or all that a filter means: in no order, and who comes or goes meanwhile is visited or
/// not.
pub(super) fn scan<'a>(
    call: &Call<'a>,
    conn_id: Option<ConnId>,
    filter: Filter,
    visitor: impl Visitor,
) -> CallResult<'a> {
    let named = match (conn_id, filter.presence_key()) {
        (Some(conn_id), _) => Some(vec![call.hub.registry.get(conn_id).ok_or_else(RpcError::no_client)?]),
        (None, Some(key)) => Some(call.hub.presence.clients_of(key)),
        (None, None) => None,
    };
    let mut scan = Scan { hub: call.hub.clone(), filter, visitor, shard: 0 };
    let done = match named {
        Some(mut clients) => {
            clients.retain(|client| scan.wants(client));
            scan.visit(clients);
            ControlFlow::Break(scan.visitor.result())
        }
        None => scan.go_on(),
    };
    Ok(match done {
        ControlFlow::Break(result) => Progress::Result(result.into()),
        ControlFlow::Continue(work) => Progress::Unfinished(work),
    })
}

/// A way through the registry.
struct Scan<V> {
    hub: Arc<Hub>,
    filter: Filter,
    visitor: V,
    /// The next shard.
    shard: usize,
}

/// Clients at least that are looked at before others may have their turn.
const PIECE: usize = 1000;

impl<V: Visitor> Scan<V> {
    fn go_on(mut self) -> ControlFlow<String, Work> {
        let (hub, mut looks) = (self.hub.clone(), 0);
        while let Some(shard) = hub.registry.shard(self.shard) {
            self.visit(shard.select(|client| self.wants(client)));
            (self.shard, looks) = (self.shard + 1, looks + shard.count());
            if looks >= PIECE {
                take_turns(std::mem::take(&mut looks));
                if turn_is_over() {
                    return ControlFlow::Continue(Work::new(move || self.go_on()));
                }
            }
        }
        take_turns(looks);
        ControlFlow::Break(self.visitor.result())
    }

    fn wants(&self, client: &GatewayClient) -> bool {
        self.filter.fits(client) && self.visitor.wants(client)
    }

    fn visit(&mut self, mut clients: Vec<Arc<GatewayClient>>) {
        clients.retain(|client| self.filter.fits_health(client));
        self.visitor.visit(clients);
    }
}
