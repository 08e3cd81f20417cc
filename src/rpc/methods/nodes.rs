//! `node.*`: connected nodes, their capabilities, and calls of their methods.

use super::clients::{take_method, take_params};
use crate::auth::Role;
use crate::budget;
use crate::client::{ConnId, GatewayClient};
use crate::clock::rfc_3339;
use crate::registry::{PresenceSnapshot, latest};
use crate::rpc::method::{Context, MethodResult, Outcome, check_scope_for, ready, scope};
use crate::rpc::node_calls::NodeRequest;
use crate::rpc::protocol::array::{ArrayError, parse_array};
use crate::rpc::protocol::error::{ErrorKind, RpcError};
use crate::rpc::protocol::message::CowStr;
use crate::rpc::protocol::params::{Params, required};
use crate::rpc::protocol::response::to_json;
use crate::rpc::query::filter::take_presence_key;
use crate::rpc::query::page::{take_limit, truncate};
use crate::rpc::query::rows::rows_to_json;
use crate::rpc::state::RpcState;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Bounds on what a node announces: the number of capabilities, and their bytes as JSON.
const MAX_CAPABILITIES: usize = 64;
const MAX_CAPABILITIES_BYTES: usize = 16 * 1024;

/// The start of every node's presence key.
const NODE_PREFIX: &str = "node:";

/// The shortest and the longest timeout of a call, in seconds.
const TIMEOUT_SECONDS: [f64; 2] = [0.001, 3600.0];

#[derive(Serialize)]
struct Announced {
    capabilities: usize,
}

/// Replaces the capabilities of the calling node.
pub fn announce<'a>(context: Context<'a>) -> MethodResult<'a> {
    let client = context.client()?;
    if client.auth.role != Role::Node {
        return Err(RpcError::new(ErrorKind::Forbidden, "only nodes can announce capabilities").with("role", "node"));
    }
    let mut params = context.params()?;
    let raw = required(params.raw("capabilities"), "capabilities")?.get();
    params.finish()?;
    let wrong = |what: String| RpcError::invalid_member("capabilities", &what);
    let too_much =
        || wrong(format!("must be at most {MAX_CAPABILITIES} services, {MAX_CAPABILITIES_BYTES} bytes in total"));
    if raw.len() > MAX_CAPABILITIES_BYTES {
        return Err(too_much());
    }
    let all: Vec<&RawValue> = parse_array(raw, MAX_CAPABILITIES).map_err(|error| match error {
        ArrayError::TooLong => too_much(),
        ArrayError::Invalid => wrong("must be an array".to_owned()),
    })?;
    for (index, capability) in all.iter().enumerate() {
        check_capability(capability).map_err(|error| wrong(format!("[{index}]: {}", error.problem())))?;
    }
    let announced = (!all.is_empty()).then(|| Arc::from(raw));
    context.state.capabilities.update(client.conn_id, |kept| *kept = announced);
    ready(&Announced { capabilities: all.len() })
}

/// Checks a capability. It is kept and shown byte for byte.
fn check_capability(capability: &RawValue) -> Result<(), RpcError> {
    if !capability.get().starts_with('{') {
        return Err(RpcError::new(ErrorKind::InvalidParams, "must be an object"));
    }
    let mut members = Params::of(Some(capability))?;
    let require_text = |text: &str| (!text.is_empty()).then_some(());
    required(members.checked("service", "a string that isn't empty", require_text)?, "service")?;
    let what = "an array of strings that aren't empty";
    let methods = required(members.optional::<Vec<CowStr<'_>>>("methods", what)?, "methods")?;
    if methods.iter().any(|CowStr(method)| method.is_empty()) {
        return Err(RpcError::unexpected_member("methods", what));
    }
    members.text("description")?;
    members.finish()
}

#[derive(Serialize)]
struct NodeView {
    presence_key: String,
    name: String,
    connections: usize,
    /// The connection that a call to the presence key goes to.
    conn_id: String,
    since: String,
    capabilities: Box<RawValue>,
}

/// A page of the connected nodes, by presence key.
pub fn list<'a>(context: Context<'a>) -> MethodResult<'a> {
    let mut params = context.params()?;
    let only = take_presence_key(&mut params, &context.state.identities)?;
    if only.as_deref().is_some_and(|key| !key.starts_with(NODE_PREFIX)) {
        return Err(RpcError::unexpected_member("presence_key", "a node's, which begins with node:"));
    }
    let after = params.cursor(|text| text.starts_with(NODE_PREFIX).then(|| text.to_owned()))?;
    let limit = take_limit(&mut params)?;
    params.finish()?;
    let state = context.state.clone();
    Ok(Outcome::Future(Box::pin(async move {
        let mut page = NodePage { after, limit, keys: Vec::new() };
        match &only {
            Some(only) => page.add(state.presence.get(only).into_iter().collect()),
            None => {
                for index in 0.. {
                    let Some(keys) = state.presence.list_shard(index, &Role::Node) else { break };
                    page.add(keys);
                    budget::yield_if_spent().await;
                }
            }
        }
        page.into_json(&state).await
    })))
}

/// Collects the nodes of one page, and the first one after it.
struct NodePage {
    /// The presence key before the page.
    after: Option<String>,
    limit: usize,
    /// The added nodes that come first, at most `limit + 1`.
    keys: Vec<PresenceSnapshot>,
}

impl NodePage {
    fn add(&mut self, mut keys: Vec<PresenceSnapshot>) {
        let after = self.after.as_deref();
        keys.retain(|key| key.clients[0].auth.role == Role::Node);
        keys.retain(|key| after.is_none_or(|after| **presence_key(key) > *after));
        self.keys.extend(keys);
        if self.keys.len() > self.limit {
            self.keys.select_nth_unstable_by(self.limit, |a, b| presence_key(a).cmp(presence_key(b)));
            self.keys.truncate(self.limit + 1);
        }
    }

    async fn into_json(mut self, state: &RpcState) -> String {
        self.keys.sort_unstable_by(|a, b| presence_key(a).cmp(presence_key(b)));
        let has_more = truncate(&mut self.keys, self.limit);
        let next_cursor = self.keys.last().filter(|_| has_more).map(|key| presence_key(key).to_string());
        rows_to_json("nodes", &self.keys, next_cursor, |key| to_json(&view(key, state))).await
    }
}

fn presence_key(key: &PresenceSnapshot) -> &Arc<str> {
    &key.clients[0].auth.presence_key
}

fn view(key: &PresenceSnapshot, state: &RpcState) -> NodeView {
    let client = latest(&key.clients).unwrap_or(&key.clients[0]);
    let capabilities = state.capabilities.read(client.conn_id, |kept| kept.as_deref().unwrap_or("[]").to_owned());
    NodeView {
        presence_key: client.auth.presence_key.to_string(),
        name: client.auth.name.to_string(),
        connections: key.clients.len(),
        conn_id: client.conn_id.to_string(),
        since: rfc_3339(key.since.to_system_time()),
        capabilities: RawValue::from_string(capabilities).expect("it was checked when it was announced"),
    }
}

/// Calls a method of a node; the result is the node's answer.
pub fn invoke<'a>(context: Context<'a>) -> MethodResult<'a> {
    let state = context.state;
    let mut params = context.params()?;
    let target = required(params.text("target")?, "target")?;
    let (method, data) = (take_method(&mut params)?, take_params(&mut params)?);
    let [shortest, longest] = TIMEOUT_SECONDS;
    let timeout = params.seconds("timeout", shortest, longest)?.unwrap_or(state.calls.default_timeout());
    params.finish()?;
    let CowStr(name) = serde_json::from_str(method).map_err(|_| RpcError::internal_error())?;
    check_scope_for(context.auth(), scope::INVOKE, &name)?;
    state.calls.check_open()?;
    let node = find_node(state, &target).ok_or_else(|| {
        let has_role = target.contains(':') || ConnId::parse(&target).is_some();
        let suggestion = if has_role { String::new() } else { state.identities.suggest(&target, NODE_PREFIX) };
        RpcError::new(ErrorKind::NotFound, format!("no such node{suggestion}"))
    })?;
    context.prepare_deferral()?;
    let (request, caller) = (NodeRequest { method, params: data, timeout }, context.caller());
    let id = state.calls.start(&node, &request, caller, context.into_responder());
    Ok(Outcome::Deferred(id, timeout))
}

/// The node with this connection ID, or the latest connection of this presence key.
fn find_node(state: &RpcState, target: &str) -> Option<Arc<GatewayClient>> {
    let node = match ConnId::parse(target) {
        Some(conn_id) => state.registry.get(conn_id),
        // The keys of other roles aren't looked up: one of them may have a million clients.
        None => target.starts_with(NODE_PREFIX).then(|| state.presence.latest_of(target)).flatten(),
    };
    node.filter(|node| node.auth.role == Role::Node)
}
