//! `gateway.*`: the gateway itself, and events on topics.

use crate::auth::AuthInfo;
use crate::budget;
use crate::client::GatewayClient;
use crate::rpc::method::{Context, MethodResult, Outcome, check_scope, check_scope_for, ready, scope};
use crate::rpc::protocol::array::{ArrayError, parse_array};
use crate::rpc::protocol::error::RpcError;
use crate::rpc::protocol::message::CowStr;
use crate::rpc::protocol::params::required;
use crate::rpc::protocol::portable;
use crate::rpc::pubsub::topics::{self, TOPIC_SYNTAX, is_topic};
use crate::rpc::state::RpcState;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Returns its params.
pub fn echo<'a>(context: Context<'a>) -> MethodResult<'a> {
    Ok(Outcome::Ready(context.params.map_or("null", RawValue::get).into()))
}

/// The counts of clients.
pub fn health<'a>(context: Context<'a>) -> MethodResult<'a> {
    context.no_params()?;
    ready(&context.state.registry.health_snapshot())
}

/// The names of all methods.
pub fn list_methods<'a>(context: Context<'a>) -> MethodResult<'a> {
    context.no_params()?;
    let mut names: Vec<_> = context.methods.iter().map(|method| method.name).collect();
    names.sort_unstable();
    ready(&names)
}

/// Shows that the gateway responds.
pub fn ping<'a>(context: Context<'a>) -> MethodResult<'a> {
    context.no_params()?;
    Ok(Outcome::Ready(r#""pong""#.into()))
}

#[derive(Serialize)]
struct WhoAmI<'a> {
    conn_id: String,
    role: &'a str,
    scopes: &'a [Box<str>],
    presence_key: &'a str,
    remote_addr: String,
    connected_seconds: u64,
}

/// The caller's identity, as the gateway sees it.
pub fn whoami<'a>(context: Context<'a>) -> MethodResult<'a> {
    context.no_params()?;
    let client = context.client()?;
    ready(&WhoAmI {
        conn_id: client.conn_id.to_string(),
        role: client.auth.role.as_str(),
        scopes: &client.scopes(),
        presence_key: &client.auth.presence_key,
        remote_addr: client.remote_addr.to_string(),
        connected_seconds: client.connected_at.elapsed().as_secs(),
    })
}

#[derive(Serialize)]
struct Subscribed<'a> {
    topics: Vec<&'a str>,
}

/// Subscribes the caller to topics. Returns all its subscriptions.
pub fn subscribe<'a>(context: Context<'a>) -> MethodResult<'a> {
    let (client, topics) = (context.client()?, take_topics(&context)?);
    let version = client.auth.grants_version();
    for topic in &topics {
        check_subscription(context.auth(), topic)?;
    }
    context.state.topics.subscribe(client, &topics)?;
    if client.auth.grants_version() != version {
        // A reload has changed the scopes, and may have looked for forbidden subscriptions before these existed.
        end_forbidden_subscriptions(context.state, client);
    }
    subscriptions(&context)
}

/// Ends the subscriptions of a client that its scopes, which have changed, don't allow.
pub fn end_forbidden_subscriptions(state: &RpcState, client: &GatewayClient) {
    let mut forbidden = state.topics.subscriptions(client.conn_id);
    forbidden.retain(|topic| check_subscription(&client.auth, topic).is_err());
    if !forbidden.is_empty() {
        state.topics.unsubscribe(client.conn_id, &forbidden);
    }
}

/// Fails if a client may not subscribe to a topic. It needs no scope for the topics of its own presence key.
fn check_subscription(auth: &AuthInfo, topic: &str) -> Result<(), RpcError> {
    match topic {
        topic if topics::is_reserved(topic) => check_scope(auth, scope::READ),
        topic if auth.owns_topic(topic) => Ok(()),
        topic => check_scope_for(auth, scope::SUBSCRIBE, topic),
    }
}

/// Unsubscribes the caller from topics. Returns its remaining subscriptions.
pub fn unsubscribe<'a>(context: Context<'a>) -> MethodResult<'a> {
    let (client, topics) = (context.client()?, take_topics(&context)?);
    context.state.topics.unsubscribe(client.conn_id, &topics);
    subscriptions(&context)
}

fn subscriptions<'a>(context: &Context<'_>) -> MethodResult<'a> {
    let topics = context.state.topics.subscriptions(context.client()?.conn_id);
    ready(&Subscribed { topics: topics.iter().map(|topic| &**topic).collect() })
}

/// Takes the topics that a request names, and charges them to the current task's budget. More names than
/// `limits.max_subscriptions` are an error, and the others aren't read.
fn take_topics(context: &Context<'_>) -> Result<BTreeSet<Arc<str>>, RpcError> {
    let mut params = context.params()?;
    let raw = required(params.raw("topics"), "topics")?;
    params.finish()?;
    let topics = &context.state.topics;
    let names = parse_array::<CowStr<'_>>(raw.get(), topics.max_subscriptions()).map_err(|error| match error {
        ArrayError::TooLong => topics.too_many_subscriptions(),
        ArrayError::Invalid => invalid_topics(),
    })?;
    budget::charge(names.len());
    if !names.iter().all(|CowStr(topic)| is_topic(topic)) {
        return Err(invalid_topics());
    }
    Ok(names.iter().map(|CowStr(topic)| Arc::from(&**topic)).collect())
}

fn invalid_topics() -> RpcError {
    RpcError::unexpected_member("topics", &format!("a list of topics, each {TOPIC_SYNTAX}"))
}

#[derive(Serialize)]
pub struct Queued {
    pub queued: usize,
}

/// Publishes an event. Returns the number of subscribers for which it was queued.
pub fn publish<'a>(context: Context<'a>) -> MethodResult<'a> {
    let mut params = context.params()?;
    let topic = params.checked("topic", TOPIC_SYNTAX, |text| is_topic(text).then(|| text.to_owned()))?;
    let topic = required(topic, "topic")?;
    let data = required(params.raw("data"), "data")?;
    params.finish()?;
    if topics::is_reserved(&topic) {
        return Err(RpcError::invalid_member("topic", "only the gateway publishes on it"));
    }
    check_scope_for(context.auth(), scope::PUBLISH, &topic)?;
    portable::check(data.get()).map_err(|problem| RpcError::invalid_member("data", &problem))?;
    ready(&Queued { queued: context.state.topics.publish(&topic, data.get()) })
}
