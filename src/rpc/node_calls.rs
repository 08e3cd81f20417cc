//! Calls to nodes. A call is pending until the node answers or disconnects, the call times out or is cancelled, or the
//! gateway drains.
//!
//! Every way to end a call first removes it from its node's table, so each call ends exactly once. The tables are
//! locked one at a time, and no lock is held while a message is sent.

mod counts;
mod queue;

pub use counts::CallCounts;
pub use queue::Caller;

use counts::CallEnd;
use queue::{NodeQueue, PendingCall};

use super::protocol::message;
use crate::client::{ConnId, GatewayClient, SendError};
use crate::config::LiveConfig;
use crate::heartbeat::Heartbeat;
use crate::registry::{ClientTable, ShardedMap};
use crate::rpc::protocol::error::{ErrorKind, RpcError};
use crate::rpc::protocol::message::Response;
use crate::rpc::protocol::responder::{CallResult, Responder};
use log::debug;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Identifies a call.
#[derive(Clone, Copy)]
pub struct NodeCallId {
    node: ConnId,
    /// The ID of the request to the node, unique in this gateway.
    id: u64,
}

/// A request to a node.
pub struct NodeRequest<'a> {
    /// The method, as a JSON string with its quotes.
    pub method: &'a str,
    /// The params, as JSON.
    pub params: Option<&'a str>,
    pub timeout: Duration,
}

/// The pending calls of one client.
#[derive(Serialize)]
pub struct ClientCalls {
    /// Calls to this client.
    to_answer: usize,
    /// Calls by this client.
    made: usize,
}

/// All pending calls.
pub struct NodeCalls {
    heartbeat: Arc<Heartbeat>,
    config: Arc<LiveConfig>,
    last_id: AtomicU64,
    is_draining: AtomicBool,
    by_node: ClientTable<NodeQueue>,
    /// The calls by each client: the called node, by ID.
    by_caller: ClientTable<HashMap<u64, ConnId>>,
    /// The number of calls by each credential over HTTP, by presence key.
    by_credential: ShardedMap<usize>,
    pub counts: CallCounts,
}

impl NodeCalls {
    /// Empty tables. Timeouts run on the heartbeat's wheel.
    pub fn new(config: Arc<LiveConfig>, heartbeat: Arc<Heartbeat>) -> Arc<Self> {
        Arc::new(NodeCalls {
            heartbeat,
            config,
            last_id: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
            by_node: ClientTable::default(),
            by_caller: ClientTable::default(),
            by_credential: ShardedMap::default(),
            counts: CallCounts::default(),
        })
    }

    /// The timeout of a call whose caller sets none.
    pub fn default_timeout(&self) -> Duration {
        self.config.load().calls.timeout
    }

    /// Fails with `draining` during a drain, so that a node that the drain has closed isn't reported as not found.
    pub fn check_open(&self) -> Result<(), RpcError> {
        if self.is_draining.load(Ordering::SeqCst) { Err(RpcError::draining()) } else { Ok(()) }
    }

    /// Sends a request to a node. The result, or the reason for a failure, goes to `responder`.
    pub fn start(
        self: &Arc<Self>,
        node: &Arc<GatewayClient>,
        request: &NodeRequest<'_>,
        caller: Caller,
        responder: Responder,
    ) -> NodeCallId {
        let call_id = NodeCallId { node: node.conn_id, id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1 };
        self.counts.started.add(1);
        if let Err((end, responder)) = self.register(call_id, caller, responder) {
            self.counts.ended.add(end);
            responder.send(self.error(end));
            return call_id;
        }
        self.schedule_timeout(call_id, request.timeout);
        // After the registration: a later drain or disconnect finds the call. An earlier drain is noticed here, an
        // earlier disconnect by `try_send`.
        if self.is_draining.load(Ordering::SeqCst) {
            self.fail_by_id(call_id, CallEnd::Draining);
            return call_id;
        }
        match node.try_send(message::request(call_id.id, request.method, request.params)) {
            Ok(()) => {}
            Err(SendError::Full) => self.fail_by_id(call_id, CallEnd::NodeOutboxFull),
            Err(SendError::Closed) => self.fail_by_id(call_id, CallEnd::NodeDisconnected),
        }
        call_id
    }

    /// Adds a call. Returns the responder with the error if the caller or the node has reached its limit, or the caller
    /// its share of the node's.
    fn register(&self, call_id: NodeCallId, caller: Caller, responder: Responder) -> Result<(), (CallEnd, Responder)> {
        if !self.acquire(call_id, &caller) {
            return Err((CallEnd::CallerBusy, responder));
        }
        let call = PendingCall { caller, responder, timeout: None };
        let max_per_node = self.config.load().calls.max_per_node;
        let rejected = self.by_node.update(call_id.node, |queue| {
            let rejected = queue.insert(call_id.id, call, max_per_node);
            self.counts.in_flight.add(u64::from(rejected.is_none()));
            rejected
        });
        match rejected {
            None => Ok(()),
            Some(call) => {
                self.release(call_id, &call.caller);
                Err((CallEnd::NodeBusy, call.responder))
            }
        }
    }

    /// Charges a call to its caller. Returns false if the caller has reached its limit.
    fn acquire(&self, call_id: NodeCallId, caller: &Caller) -> bool {
        let limit = self.config.load().calls.max_per_caller;
        match caller {
            Caller::Client(conn_id) => self.by_caller.update(*conn_id, |calls| {
                let has_room = calls.len() < limit;
                if has_room {
                    calls.insert(call_id.id, call_id.node);
                }
                has_room
            }),
            Caller::Credential(presence_key) => {
                let mut counts = self.by_credential.lock(presence_key);
                let count = counts.entry(presence_key.clone()).or_default();
                let has_room = *count < limit;
                *count += usize::from(has_room);
                has_room
            }
        }
    }

    /// Undoes [`acquire`](Self::acquire).
    fn release(&self, call_id: NodeCallId, caller: &Caller) {
        match caller {
            Caller::Client(conn_id) => drop(self.by_caller.update(*conn_id, |calls| calls.remove(&call_id.id))),
            Caller::Credential(presence_key) => {
                let mut counts = self.by_credential.lock(presence_key);
                if let Some(count) = counts.get_mut(presence_key) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(presence_key);
                    }
                }
            }
        }
    }

    fn schedule_timeout(self: &Arc<Self>, call_id: NodeCallId, timeout: Duration) {
        let calls = Arc::downgrade(self);
        let mut guard = Some(self.heartbeat.schedule(timeout, move || {
            if let Some(calls) = calls.upgrade() {
                calls.fail_by_id(call_id, CallEnd::Timeout);
            }
        }));
        self.by_node.update(call_id.node, |queue| {
            if let Some(call) = queue.calls.get_mut(&call_id.id) {
                call.timeout = guard.take();
            }
        });
    }

    /// Handles a client's response: ends the call that it answers; if it answers none, counts and ignores it. Returns
    /// false, without counting it, if it answers no call and has neither result nor error: it may be a request
    /// without a method.
    pub fn on_response(&self, node: ConnId, id: Option<u64>, response: Response<'_>) -> bool {
        let call_id = id.map(|id| NodeCallId { node, id });
        let Some((call_id, call)) = call_id.and_then(|call_id| Some((call_id, self.take(call_id)?))) else {
            let is_response = response != Response::Neither;
            if is_response {
                self.counts.unmatched_responses.add(1);
                let id = id.map_or_else(|| "none".to_owned(), |id| id.to_string());
                debug!("response ignored, no call with this id is in flight conn_id={node} id={id}");
            }
            return is_response;
        };
        match response {
            Response::Result(result) => {
                self.finish(call_id, call, CallEnd::Answered).send(CallResult::Success(result.into()));
            }
            Response::Error(error) => {
                self.finish(call_id, call, CallEnd::NodeError).send(CallResult::NodeError(error.into()));
            }
            Response::Invalid | Response::Neither => self.fail(call_id, call, CallEnd::InvalidAnswer),
        }
        true
    }

    /// Called when a client is closing. Fails the calls to it, since its responses are no longer read.
    pub fn fail_node(&self, conn_id: ConnId) {
        for (id, call) in self.by_node.take(conn_id).calls {
            self.fail(NodeCallId { node: conn_id, id }, call, CallEnd::NodeDisconnected);
        }
    }

    /// Called when a client has disconnected. Fails the calls to it, and cancels the calls by it.
    pub fn remove_client(&self, conn_id: ConnId) {
        self.fail_node(conn_id);
        for (id, node) in self.by_caller.take(conn_id) {
            self.cancel(NodeCallId { node, id });
        }
    }

    /// Ends a call without a response, because its caller has disconnected.
    pub fn cancel(&self, call_id: NodeCallId) {
        if let Some(call) = self.take(call_id) {
            self.finish(call_id, call, CallEnd::Cancelled).cancel();
        }
    }

    /// Fails all calls, and from here on every new one.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
        for (node, queue) in self.by_node.take_all() {
            for (id, call) in queue.calls {
                self.fail(NodeCallId { node, id }, call, CallEnd::Draining);
            }
        }
    }

    /// The numbers of pending calls to and from this client.
    pub fn client_calls(&self, conn_id: ConnId) -> ClientCalls {
        ClientCalls {
            to_answer: self.by_node.read(conn_id, |queue| queue.calls.len()),
            made: self.by_caller.read(conn_id, HashMap::len),
        }
    }

    /// Removes a call from its node's table; `None` if it has ended already.
    fn take(&self, call_id: NodeCallId) -> Option<PendingCall> {
        self.by_node.update(call_id.node, |queue| queue.remove(call_id.id))
    }

    /// Counts the end of a call that was removed from its table, releases its charge, and returns its responder.
    fn finish(&self, call_id: NodeCallId, call: PendingCall, end: CallEnd) -> Responder {
        // `ended` first: a report that is made in between counts the call in both rather than in neither.
        self.counts.ended.add(end);
        self.counts.in_flight.sub(1);
        self.release(call_id, &call.caller);
        call.responder
    }

    fn fail(&self, call_id: NodeCallId, call: PendingCall, end: CallEnd) {
        self.finish(call_id, call, end).send(self.error(end));
    }

    /// Fails a call unless it has ended already.
    fn fail_by_id(&self, call_id: NodeCallId, end: CallEnd) {
        if let Some(call) = self.take(call_id) {
            self.fail(call_id, call, end);
        }
    }

    fn error(&self, end: CallEnd) -> CallResult<'static> {
        CallResult::Failed(match end {
            CallEnd::CallerBusy => {
                let message = "the caller has reached its limit of calls in flight";
                RpcError::new(ErrorKind::CallerBusy, message).with("most", self.config.load().calls.max_per_caller)
            }
            CallEnd::NodeBusy => {
                let message = "the node has reached its limit of calls in flight, or the caller its share of them";
                RpcError::new(ErrorKind::NodeBusy, message).with("most", self.config.load().calls.max_per_node)
            }
            CallEnd::NodeOutboxFull => RpcError::new(ErrorKind::NodeOutboxFull, "the node's outbox is full"),
            CallEnd::Timeout => RpcError::new(ErrorKind::Timeout, "the node didn't answer in time"),
            CallEnd::NodeDisconnected => {
                RpcError::new(ErrorKind::NodeDisconnected, "the node disconnected before it answered")
            }
            CallEnd::InvalidAnswer => {
                let message = "the node's answer isn't a valid JSON-RPC response";
                RpcError::new(ErrorKind::InvalidAnswer, message)
            }
            CallEnd::Draining => RpcError::draining(),
            // Unreachable: these calls haven't failed.
            CallEnd::Answered | CallEnd::NodeError | CallEnd::Cancelled => RpcError::internal_error(),
        })
    }

    /// Whether all tables are empty.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.by_node.len() == 0
            && self.by_caller.len() == 0
            && self.by_credential.lock_each().all(|shard| shard.is_empty())
    }
}

#[cfg(test)]
mod tests;
