//! Scans all clients, one shard of the registry after the other, within the task's coop budget.

use super::filter::Filter;
use crate::budget;
use crate::client::{ConnId, GatewayClient};
use crate::rpc::method::{Context, MethodResult, Outcome};
use crate::rpc::protocol::error::RpcError;
use crate::rpc::state::RpcState;
use std::mem::take;
use std::sync::Arc;

/// Clients examined, whether they match or not, between two charges to the budget; rounded up to whole shards.
const VISITS_PER_CHARGE: usize = 1000;

/// Collects the clients that a scan finds.
pub trait Visitor: Send + 'static {
    /// Whether a client is to be visited. Called under a shard's lock: it must be fast and take no other lock.
    fn matches(&self, client: &GatewayClient) -> bool;

    /// Visits clients. Called any number of times, each time with other clients.
    fn visit(&mut self, clients: Vec<Arc<GatewayClient>>);

    /// The method's result as JSON, after the last visit. Yields when the task's budget is spent.
    fn result(self) -> impl Future<Output = String> + Send;
}

/// Visits the clients that match `filter`: the one with `conn_id` if that is given, else those with the filter's
/// presence key if it has one, else all. The order is undefined; a client that connects or disconnects meanwhile may be
/// visited or not.
pub fn scan<'a>(
    context: &Context<'a>,
    conn_id: Option<ConnId>,
    filter: Filter,
    visitor: impl Visitor,
) -> MethodResult<'a> {
    let clients = match (conn_id, filter.presence_key()) {
        (Some(conn_id), _) => Some(vec![context.state.registry.get(conn_id).ok_or_else(RpcError::no_client)?]),
        (None, Some(key)) => Some(context.state.presence.clients_of(key)),
        (None, None) => None,
    };
    let (scan, state) = (Scan { filter, visitor }, context.state.clone());
    Ok(Outcome::Future(match clients {
        Some(clients) => Box::pin(scan.visit_some(clients)),
        None => Box::pin(scan.visit_all(state)),
    }))
}

struct Scan<V> {
    filter: Filter,
    visitor: V,
}

impl<V: Visitor> Scan<V> {
    async fn visit_some(mut self, clients: Vec<Arc<GatewayClient>>) -> String {
        for batch in clients.chunks(VISITS_PER_CHARGE) {
            self.visit(batch.iter().filter(|client| self.matches(client)).cloned().collect());
            budget::charge(batch.len());
            budget::yield_if_spent().await;
        }
        self.visitor.result().await
    }

    async fn visit_all(mut self, state: Arc<RpcState>) -> String {
        let (mut found, mut visits) = (Vec::new(), 0);
        for index in 0.. {
            let Some(shard) = state.registry.shard(index) else { break };
            found.extend(shard.filter(|client| self.matches(client)));
            visits += shard.len();
            if visits >= VISITS_PER_CHARGE {
                self.visit(take(&mut found));
                budget::charge(take(&mut visits));
                budget::yield_if_spent().await;
            }
        }
        budget::charge(visits);
        self.visit(found);
        self.visitor.result().await
    }

    fn matches(&self, client: &GatewayClient) -> bool {
        self.filter.matches(client) && self.visitor.matches(client)
    }

    fn visit(&mut self, mut clients: Vec<Arc<GatewayClient>>) {
        clients.retain(|client| self.filter.matches_health(client));
        self.visitor.visit(clients);
    }
}

/// Collects the clients for an action at the end of the scan: on all of them, or on none if the call is cancelled
/// first.
pub struct Collect<F> {
    clients: Vec<Arc<GatewayClient>>,
    action: F,
}

impl<F: FnOnce(Vec<Arc<GatewayClient>>) -> String + Send + 'static> Collect<F> {
    /// `action` returns the method's result as JSON.
    pub fn then(action: F) -> Self {
        Collect { clients: Vec::new(), action }
    }
}

impl<F: FnOnce(Vec<Arc<GatewayClient>>) -> String + Send + 'static> Visitor for Collect<F> {
    fn matches(&self, _: &GatewayClient) -> bool {
        true
    }

    fn visit(&mut self, clients: Vec<Arc<GatewayClient>>) {
        self.clients.extend(clients);
    }

    async fn result(self) -> String {
        (self.action)(self.clients)
    }
}
