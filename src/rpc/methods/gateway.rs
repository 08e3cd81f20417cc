//! `gateway.*`: the gateway itself, and events.

use crate::rpc::method::{Call, CallResult, Progress, now, scope};
use crate::rpc::protocol::error::RpcError;
use crate::rpc::protocol::message::CowStr;
use crate::rpc::protocol::params::required;
use crate::rpc::pubsub::topics;
use crate::rpc::pubsub::topics::{HEALTH, TOPIC_SYNTAX, is_topic};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Returns its params.
pub(crate) fn echo<'a>(call: &Call<'a>) -> CallResult<'a> {
    Ok(Progress::Result(call.params.map_or("null", RawValue::get).into()))
}

/// How many clients there are.
pub(crate) fn health<'a>(call: &Call<'a>) -> CallResult<'a> {
    call.no_params()?;
    let counts = call.state.registry.health_snapshot();
    if call.client().is_ok_and(|client| call.state.topics.is_subscribed(client.conn_id, topics::HEALTH)) {
        call.state.health_events.asked(counts);
    }
    now(&counts)
}

/// The names of all methods.
pub(crate) fn list_methods<'a>(call: &Call<'a>) -> CallResult<'a> {
    call.no_params()?;
    now(&call.methods.iter().map(|method| method.name).collect::<Vec<_>>())
}

/// Shows that the gateway answers.
pub(crate) fn ping<'a>(call: &Call<'a>) -> CallResult<'a> {
    call.no_params()?;
    Ok(Progress::Result(r#""pong""#.into()))
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

/// What the gateway knows of the caller.
pub(crate) fn whoami<'a>(call: &Call<'a>) -> CallResult<'a> {
    call.no_params()?;
    let client = call.client()?;
    now(&WhoAmI {
        conn_id: client.conn_id.to_string(),
        role: client.auth.role.as_str(),
        scopes: &client.auth.scopes,
        presence_key: &client.auth.presence_key,
        remote_addr: client.remote_addr.to_string(),
        connected_seconds: client.connected_at.elapsed().as_secs(),
    })
}

#[derive(Serialize)]
struct Subscribed<'a> {
    topics: Vec<&'a str>,
}

/// Subscribes the caller to topics; returns all that it is subscribed to.
pub(crate) fn subscribe<'a>(call: &Call<'a>) -> CallResult<'a> {
    let (client, topics) = (call.client()?, take_topics(call)?);
    if topics.iter().any(|topic| topics::is_reserved(topic)) {
        call.check_scope(scope::READ)?;
    }
    call.state.topics.subscribe(client, &topics)?;
    if topics.contains(HEALTH) {
        call.state.health_events.subscribed();
    }
    subscriptions(call)
}

/// The same backwards.
pub(crate) fn unsubscribe<'a>(call: &Call<'a>) -> CallResult<'a> {
    let (client, topics) = (call.client()?, take_topics(call)?);
    call.state.topics.unsubscribe(client.conn_id, &topics);
    subscriptions(call)
}

fn subscriptions<'a>(call: &Call<'a>) -> CallResult<'a> {
    let topics = call.state.topics.subscriptions(call.client()?.conn_id);
    now(&Subscribed { topics: topics.iter().map(|topic| &**topic).collect() })
}

fn take_topics(call: &Call<'_>) -> Result<BTreeSet<Arc<str>>, RpcError> {
    let mut params = call.params()?;
    let what = format!("a list of topics, each {TOPIC_SYNTAX}");
    let topics = required(params.optional::<Vec<CowStr<'_>>>("topics", &what)?, "topics")?;
    params.finish()?;
    if !topics.iter().all(|CowStr(topic)| is_topic(topic)) {
        return Err(RpcError::invalid_member("topics", &what));
    }
    Ok(topics.iter().map(|CowStr(topic)| Arc::from(&**topic)).collect())
}

#[derive(Serialize)]
pub(crate) struct Queued {
    pub(crate) queued: usize,
}

/// Publishes an event; returns for how many subscribers it was queued.
pub(crate) fn publish<'a>(call: &Call<'a>) -> CallResult<'a> {
    let mut params = call.params()?;
    let topic = params.checked("topic", TOPIC_SYNTAX, |text| is_topic(text).then(|| text.to_owned()))?;
    let topic = required(topic, "topic")?;
    let data = required(params.raw("data"), "data")?;
    params.finish()?;
    if topics::is_reserved(&topic) {
        return Err(RpcError::invalid_member("topic", "only the gateway publishes on it"));
    }
    now(&Queued { queued: call.state.topics.publish(&topic, data.get()) })
}
