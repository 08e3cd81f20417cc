//! The pending calls to one node, of which each caller may have a share.

use crate::client::ConnId;
use crate::heartbeat::TimerGuard;
use crate::registry::IsEmpty;
use crate::rpc::protocol::responder::Responder;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// How many times as many calls to a node as are free one caller may have. So it leaves a part to others, and the more of
/// them call, the smaller its share is: of two callers that always call, each has four ninths.
const SHARE: usize = 4;

/// The caller to which a call is charged (`calls.max_per_caller`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    Client(ConnId),
    /// All HTTP requests with one credential, identified by its presence key.
    Credential(Arc<str>),
}

/// A call that waits for the node's response.
pub struct PendingCall {
    pub caller: Caller,
    pub responder: Responder,
    /// Ends the call when it times out.
    pub timeout: Option<TimerGuard>,
}

/// The pending calls to one node.
#[derive(Default)]
pub struct NodeQueue {
    /// By ID.
    pub calls: HashMap<u64, PendingCall>,
    /// The number of calls by each caller; none is 0.
    callers: HashMap<Caller, usize>,
}

impl NodeQueue {
    /// Adds a call; returns it if there are `max` calls, or if its caller has its share of them.
    pub fn insert(&mut self, id: u64, call: PendingCall, max: usize) -> Option<PendingCall> {
        let of_caller = self.callers.get(&call.caller).copied().unwrap_or(0);
        if of_caller >= SHARE.saturating_mul(max.saturating_sub(self.calls.len())) {
            return Some(call);
        }
        *self.callers.entry(call.caller.clone()).or_insert(0) += 1;
        self.calls.insert(id, call);
        None
    }

    /// Removes a call; `None` if there is none with this ID.
    pub fn remove(&mut self, id: u64) -> Option<PendingCall> {
        let call = self.calls.remove(&id)?;
        if let Entry::Occupied(mut count) = self.callers.entry(call.caller.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(call)
    }
}

impl IsEmpty for NodeQueue {
    fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}
