//! A look at all clients, of whom there may be a million: a shard of the registry after the other, in as many turns as it
//! takes.

use super::call::{Call, CallResult, Progress};
use super::error::RpcError;
use super::filter::Filter;
use super::hub::Hub;
use super::work::Work;
use crate::client::{ConnId, GatewayClient, spend_turn, turn_is_over};
use std::mem::take;
use std::ops::ControlFlow;
use std::sync::Arc;

/// After looking at so many clients, rounded up to a whole shard, it is asked whether the turn is over.
const LOOKS_PER_PIECE: usize = 1000;

/// Takes in the clients that were looked for.
pub(super) trait Visitor: Send + 'static {
    /// Whether a client is to be visited. Asked under a shard's lock: it must not take long, or another lock.
    fn wants(&self, client: &GatewayClient) -> bool;

    /// Called any number of times, each client once.
    fn visit(&mut self, clients: Vec<Arc<GatewayClient>>);

    /// The call's result as JSON, once all have been visited.
    fn result(self) -> String;
}

/// Shows the visitor one client, or all that a filter means, in no order. A client that comes or goes meanwhile may be visited
/// or not. Those of a presence key are visited at once.
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

/// A scan of the registry that can stop after any shard, and go on later.
struct Scan<V> {
    hub: Arc<Hub>,
    filter: Filter,
    visitor: V,
    /// The next shard.
    shard: usize,
}

impl<V: Visitor> Scan<V> {
    fn go_on(mut self) -> ControlFlow<String, Work> {
        let (mut found, mut looks) = (Vec::new(), 0);
        while let Some(shard) = self.hub.registry.shard(self.shard) {
            found.extend(shard.select(|client| self.wants(client)));
            (self.shard, looks) = (self.shard + 1, looks + shard.count());
            if looks >= LOOKS_PER_PIECE {
                spend_turn(take(&mut looks));
                self.visit(take(&mut found));
                if turn_is_over() {
                    return ControlFlow::Continue(Work::new(move || self.go_on()));
                }
            }
        }
        spend_turn(looks);
        self.visit(found);
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

/// Gathers all, for what is done with them in the end: all of it, or nothing if the call is given up before.
pub(super) struct Gather<F> {
    clients: Vec<Arc<GatewayClient>>,
    end: F,
}

impl<F: FnOnce(Vec<Arc<GatewayClient>>) -> String + Send + 'static> Gather<F> {
    /// `end` does it, and returns the call's result as JSON.
    pub(super) fn then(end: F) -> Self {
        Gather { clients: Vec::new(), end }
    }
}

impl<F: FnOnce(Vec<Arc<GatewayClient>>) -> String + Send + 'static> Visitor for Gather<F> {
    fn wants(&self, _: &GatewayClient) -> bool {
        true
    }

    fn visit(&mut self, clients: Vec<Arc<GatewayClient>>) {
        self.clients.extend(clients);
    }

    fn result(self) -> String {
        (self.end)(self.clients)
    }
}
