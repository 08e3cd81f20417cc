//! NodeCalls of methods on nodes: under way until the node answers, or can't any more, or its time is over.
//!
//! Whoever takes a call out of its node's table answers it, so it is answered once. No lock is held over another, nor
//! while anything is sent.

use super::protocol::message;
use crate::client::{ConnId, GatewayClient, SendError};
use crate::config;
use crate::heartbeat::{Heartbeat, TimerGuard};
use crate::metrics::{Counter, Gauge, LabelledCounters};
use crate::registry::{ClientTable, ShardedMap};
use crate::rpc::protocol::error::{ErrorKind, RpcError};
use crate::rpc::protocol::message::Response;
use crate::rpc::protocol::responder::{CallResult, Responder};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Identity calls, for the bound.
#[derive(Clone)]
pub(crate) enum Caller {
    Client(ConnId),
    /// Over HTTP: all requests with a credential together, by its presence key.
    Credential(Arc<str>),
}

/// Names one call.
#[derive(Clone, Copy)]
pub(crate) struct NodeCallId {
    node: ConnId,
    id: u64,
}

/// A call that waits for its answer.
struct PendingCall {
    caller: Caller,
    reply: Responder,
    /// Ends it when its time is over.
    deadline: Option<TimerGuard>,
}

/// What is called: a method, as JSON, and its params.
pub(crate) struct NodeRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) params: Option<&'a str>,
    pub(crate) timeout: Duration,
}

/// All calls under way.
pub(crate) struct NodeCalls {
    heartbeat: Arc<Heartbeat>,
    limits: config::CallLimits,
    last_id: AtomicU64,
    is_draining: AtomicBool,
    /// By the node that is to answer.
    by_node: ClientTable<HashMap<u64, PendingCall>>,
    /// By the client that has called: which node.
    by_caller: ClientTable<HashMap<u64, ConnId>>,
    /// Those over HTTP.
    by_credential: ShardedMap<usize>,
    pub(crate) counts: CallCounts,
}

impl NodeCalls {
    pub(crate) fn new(limits: config::CallLimits, heartbeat: Arc<Heartbeat>) -> Arc<Self> {
        Arc::new(NodeCalls {
            heartbeat,
            limits,
            last_id: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
            by_node: ClientTable::default(),
            by_caller: ClientTable::default(),
            by_credential: ShardedMap::default(),
            counts: CallCounts::default(),
        })
    }

    /// How long a call may take unless its caller says.
    pub(crate) fn default_timeout(&self) -> Duration {
        self.limits.timeout
    }

    /// That the gateway doesn't drain. While it does, a node that is closed already isn't one that was never there.
    pub(crate) fn check_open(&self) -> Result<(), RpcError> {
        if self.is_draining.load(Ordering::SeqCst) { Err(RpcError::draining()) } else { Ok(()) }
    }

    /// Sends a request to a node. The answer, or why there is none, goes to `reply`.
    pub(crate) fn start(
        self: &Arc<Self>,
        node: &Arc<GatewayClient>,
        request: &NodeRequest<'_>,
        caller: Caller,
        reply: Responder,
    ) -> NodeCallId {
        let key = NodeCallId { node: node.conn_id, id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1 };
        self.counts.started.add(1);
        if let Err((kind, reply)) = self.register(key, caller, reply) {
            self.counts.ended.add(kind.reason());
            reply.send(self.failure(kind));
            return key;
        }
        let calls = Arc::downgrade(self);
        let expire = move || {
            if let Some(calls) = calls.upgrade() {
                calls.fail_by_id(key, ErrorKind::Timeout);
            }
        };
        let mut deadline = Some(self.heartbeat.schedule(request.timeout, expire));
        self.by_node.update(key.node, |pending| {
            if let Some(pending) = pending.get_mut(&key.id) {
                pending.deadline = deadline.take();
            }
        });
        // Whoever drains or ends the node from here on finds the call; whoever has done so already is seen here.
        if self.is_draining.load(Ordering::SeqCst) {
            self.fail_by_id(key, ErrorKind::Draining);
            return key;
        }
        match node.try_send(message::request(key.id, request.method, request.params)) {
            Ok(()) => {}
            Err(SendError::Full) => self.fail_by_id(key, ErrorKind::NodeOutboxFull),
            Err(SendError::Closed) => self.fail_by_id(key, ErrorKind::NodeDisconnected),
        }
        key
    }

    /// Takes in a call, within the limits.
    fn register(&self, key: NodeCallId, caller: Caller, reply: Responder) -> Result<(), (ErrorKind, Responder)> {
        if !self.acquire(key, &caller) {
            return Err((ErrorKind::CallerBusy, reply));
        }
        let pending = PendingCall { caller, reply, deadline: None };
        let refused = self.by_node.update(key.node, |calls| {
            if calls.len() >= self.limits.max_per_node {
                return Some(pending);
            }
            self.counts.in_flight.add(1);
            calls.insert(key.id, pending);
            None
        });
        match refused {
            None => Ok(()),
            Some(pending) => {
                self.release(key, &pending.caller);
                Err((ErrorKind::NodeBusy, pending.reply))
            }
        }
    }

    /// Counts one more call of a caller, if it may have one more.
    fn acquire(&self, key: NodeCallId, caller: &Caller) -> bool {
        let most = self.limits.max_per_caller;
        match caller {
            Caller::Client(conn_id) => self.by_caller.update(*conn_id, |calls| {
                let may = calls.len() < most;
                if may {
                    calls.insert(key.id, key.node);
                }
                may
            }),
            Caller::Credential(name) => {
                let mut counts = self.by_credential.lock(name);
                let count = counts.entry(name.clone()).or_default();
                let may = *count < most;
                *count += usize::from(may);
                may
            }
        }
    }

    fn release(&self, key: NodeCallId, caller: &Caller) {
        match caller {
            Caller::Client(conn_id) => drop(self.by_caller.update(*conn_id, |calls| calls.remove(&key.id))),
            Caller::Credential(name) => {
                let mut counts = self.by_credential.lock(name);
                if let Some(count) = counts.get_mut(name) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(name);
                    }
                }
            }
        }
    }

    /// A node has answered something. What isn't the answer to a call of its own is ignored; says whether it was one, or
    /// looks like one.
    pub(crate) fn on_response(&self, node: ConnId, id: Option<u64>, response: Response<'_>) -> bool {
        let key = id.map(|id| NodeCallId { node, id });
        let Some((key, pending)) = key.and_then(|key| Some((key, self.take(key)?))) else {
            let is_response = response != Response::Neither;
            self.counts.unmatched_responses.add(is_response.into());
            return is_response;
        };
        match response {
            Response::Result(result) => {
                self.finish(key, pending, CallCounts::ANSWERED).send(CallResult::Success(result.into()));
            }
            Response::Error(error) => {
                self.finish(key, pending, CallCounts::NODE_ERROR).send(CallResult::NodeError(error.into()));
            }
            Response::Invalid | Response::Neither => self.finish_failed(key, pending, ErrorKind::InvalidAnswer),
        }
        true
    }

    /// A client is going: what it may still answer isn't read.
    pub(crate) fn fail_node(&self, conn_id: ConnId) {
        for (id, pending) in self.by_node.take(conn_id) {
            self.finish_failed(NodeCallId { node: conn_id, id }, pending, ErrorKind::NodeDisconnected);
        }
    }

    /// A client has gone: nothing waits for its answers any more, nor for answers to it.
    pub(crate) fn remove_client(&self, conn_id: ConnId) {
        self.fail_node(conn_id);
        for (id, node) in self.by_caller.take(conn_id) {
            self.cancel(NodeCallId { node, id });
        }
    }

    /// The caller doesn't wait any more.
    pub(crate) fn cancel(&self, key: NodeCallId) {
        if let Some(pending) = self.take(key) {
            self.finish(key, pending, CallCounts::CANCELLED).cancel();
        }
    }

    /// From here on there are no calls.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
        for (node, calls) in self.by_node.take_all() {
            for (id, pending) in calls {
                self.finish_failed(NodeCallId { node, id }, pending, ErrorKind::Draining);
            }
        }
    }

    /// NodeCalls that wait for this client's answers, and those that it waits for.
    pub(crate) fn counts_of(&self, conn_id: ConnId) -> (usize, usize) {
        (self.by_node.read(conn_id, HashMap::len), self.by_caller.read(conn_id, HashMap::len))
    }

    fn fail_by_id(&self, key: NodeCallId, kind: ErrorKind) {
        if let Some(pending) = self.take(key) {
            self.finish_failed(key, pending, kind);
        }
    }

    /// Whoever takes it ends it.
    fn take(&self, key: NodeCallId) -> Option<PendingCall> {
        self.by_node.update(key.node, |calls| calls.remove(&key.id))
    }

    /// Counts a call that was taken, and gives its caller's place to another call.
    fn finish(&self, key: NodeCallId, pending: PendingCall, how: &'static str) -> Responder {
        // In this order: whoever waits until none is under way matches to know how all have ended.
        self.counts.ended.add(how);
        self.counts.in_flight.sub(1);
        self.release(key, &pending.caller);
        pending.reply
    }

    fn finish_failed(&self, key: NodeCallId, pending: PendingCall, kind: ErrorKind) {
        self.finish(key, pending, kind.reason()).send(self.failure(kind));
    }

    fn failure(&self, kind: ErrorKind) -> CallResult<'static> {
        let (message, most) = match kind {
            ErrorKind::CallerBusy => {
                ("as many calls under way as one caller may have", Some(self.limits.max_per_caller))
            }
            ErrorKind::NodeBusy => ("as many calls under way as one node takes", Some(self.limits.max_per_node)),
            ErrorKind::NodeOutboxFull => ("as much waits for the node as its outbox holds", None),
            ErrorKind::Timeout => ("the node didn't answer in time", None),
            ErrorKind::NodeDisconnected => ("the node went away before it answered", None),
            ErrorKind::InvalidAnswer => ("the node's answer is neither a result nor an error", None),
            _ => return CallResult::Failed(RpcError::draining()),
        };
        let error = RpcError::new(kind, message);
        CallResult::Failed(match most {
            Some(most) => error.with("most", most),
            None => error,
        })
    }

    /// Whether no table holds anything.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_node.len() == 0
            && self.by_caller.len() == 0
            && self.by_credential.lock_each().all(|part| part.is_empty())
    }
}

/// What became of all calls.
pub struct CallCounts {
    in_flight: Gauge,
    started: Counter,
    ended: LabelledCounters,
    unmatched_responses: Counter,
}

impl CallCounts {
    const ANSWERED: &'static str = "answered";
    const NODE_ERROR: &'static str = "node_error";
    const CANCELLED: &'static str = "cancelled";
    const LABELS: &'static [&'static str] = &[
        Self::ANSWERED,
        Self::NODE_ERROR,
        Self::CANCELLED,
        ErrorKind::Timeout.reason(),
        ErrorKind::NodeDisconnected.reason(),
        ErrorKind::Draining.reason(),
        ErrorKind::InvalidAnswer.reason(),
        ErrorKind::CallerBusy.reason(),
        ErrorKind::NodeBusy.reason(),
        ErrorKind::NodeOutboxFull.reason(),
    ];
}

impl Default for CallCounts {
    fn default() -> Self {
        let (in_flight, ended) = (Gauge::default(), LabelledCounters::new(Self::LABELS));
        CallCounts { in_flight, started: Counter::default(), ended, unmatched_responses: Counter::default() }
    }
}

impl Serialize for CallCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("CallCounts", 4)?;
        fields.serialize_field("in_flight", &self.in_flight.get())?;
        fields.serialize_field("started", &self.started)?;
        fields.serialize_field("ended", &self.ended)?;
        fields.serialize_field("answers_ignored", &self.unmatched_responses)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests;
