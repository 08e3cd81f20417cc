//! A look at all clients, of whom there may be a million: a shard of the registry after the other, in as many turns as it
//! takes.

use super::filter::Filter;
use crate::budget;
use crate::client::{ConnId, GatewayClient};
use crate::rpc::method::{Call, CallResult, Progress};
use crate::rpc::protocol::error::RpcError;
use crate::rpc::state::RpcState;
use crate::rpc::work::Work;
use std::mem::take;
use std::ops::ControlFlow;
use std::sync::Arc;

/// After looking at so many clients, rounded up to a whole shard, it is asked whether the turn is over.
const VISITS_PER_BATCH: usize = 1000;

/// Takes in the clients that were looked for.
pub(crate) trait Visitor: Send + 'static {
    /// Whether a client is to be visited. Asked under a shard's lock: it must not take long, or another lock.
    fn matches(&self, client: &GatewayClient) -> bool;

    /// Called any number of times, each client once.
    fn visit(&mut self, clients: Vec<Arc<GatewayClient>>);

    /// The call's result as JSON, once all have been visited.
    fn result(self) -> String;
}

/// Shows the visitor one client, or all that a filter means, in no order. A client that comes or goes meanwhile may be visited
/// or not. Those of a presence key are visited at once.
pub(crate) fn scan<'a>(
    call: &Call<'a>,
    conn_id: Option<ConnId>,
    filter: Filter,
    visitor: impl Visitor,
) -> CallResult<'a> {
    let named = match (conn_id, filter.presence_key()) {
        (Some(conn_id), _) => Some(vec![call.state.registry.get(conn_id).ok_or_else(RpcError::no_client)?]),
        (None, Some(key)) => Some(call.state.presence.clients_of(key)),
        (None, None) => None,
    };
    let mut scan = Scan { state: call.state.clone(), filter, visitor, shard: 0 };
    let done = match named {
        Some(mut clients) => {
            clients.retain(|client| scan.matches(client));
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
    state: Arc<RpcState>,
    filter: Filter,
    visitor: V,
    /// The next shard.
    shard: usize,
}

impl<V: Visitor> Scan<V> {
    fn go_on(mut self) -> ControlFlow<String, Work> {
        let (mut found, mut looks) = (Vec::new(), 0);
        while let Some(shard) = self.state.registry.shard(self.shard) {
            found.extend(shard.filter(|client| self.matches(client)));
            (self.shard, looks) = (self.shard + 1, looks + shard.len());
            if looks >= VISITS_PER_BATCH {
                budget::charge(take(&mut looks));
                self.visit(take(&mut found));
                if budget::is_spent() {
                    return ControlFlow::Continue(Work::new(move || self.go_on()));
                }
            }
        }
        budget::charge(looks);
        self.visit(found);
        ControlFlow::Break(self.visitor.result())
    }

    fn matches(&self, client: &GatewayClient) -> bool {
        self.filter.matches(client) && self.visitor.matches(client)
    }

    fn visit(&mut self, mut clients: Vec<Arc<GatewayClient>>) {
        clients.retain(|client| self.filter.matches_health(client));
        self.visitor.visit(clients);
    }
}

/// Gathers all, for what is done with them in the end: all of it, or nothing if the call is given up before.
pub(crate) struct Collect<F> {
    clients: Vec<Arc<GatewayClient>>,
    end: F,
}

impl<F: FnOnce(Vec<Arc<GatewayClient>>) -> String + Send + 'static> Collect<F> {
    /// `end` does it, and returns the call's result as JSON.
    pub(crate) fn then(end: F) -> Self {
        Collect { clients: Vec::new(), end }
    }
}

impl<F: FnOnce(Vec<Arc<GatewayClient>>) -> String + Send + 'static> Visitor for Collect<F> {
    fn matches(&self, _: &GatewayClient) -> bool {
        true
    }

    fn visit(&mut self, clients: Vec<Arc<GatewayClient>>) {
        self.clients.extend(clients);
    }

    fn result(self) -> String {
        (self.end)(self.clients)
    }
}
