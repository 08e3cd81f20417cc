//! The methods that every gateway has.

use super::envelope::{ErrorCode, RpcError};
use crate::client::{ClientRegistry, GatewayClient};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One call of a method.
pub(super) struct Call<'a> {
    pub(super) client: &'a GatewayClient,
    pub(super) registry: &'a ClientRegistry,
    /// An object or an array, or nothing.
    pub(super) params: Option<&'a RawValue>,
}

/// A result as JSON text.
type CallResult<'a> = Result<Cow<'a, str>, RpcError>;

type Method = for<'a> fn(&Call<'a>) -> CallResult<'a>;

const METHODS: &[(&str, Method)] = &[
    ("gateway.echo", echo),
    ("gateway.health", health),
    ("gateway.methods", list_methods),
    ("gateway.ping", ping),
    ("gateway.whoami", whoami),
];

/// Calls a method by its name.
pub(super) fn call<'a>(name: &str, call: &Call<'a>) -> CallResult<'a> {
    match METHODS.iter().find(|(known, _)| *known == name) {
        Some((_, method)) => method(call),
        None => Err(RpcError::new(ErrorCode::MethodNotFound, "Method not found; gateway.methods lists them")),
    }
}

/// Returns its params.
fn echo<'a>(call: &Call<'a>) -> CallResult<'a> {
    Ok(call.params.map_or("null", RawValue::get).into())
}

/// How many clients there are.
fn health<'a>(call: &Call<'a>) -> CallResult<'a> {
    no_params(call)?;
    Ok(json(&call.registry.health_snapshot()))
}

/// The names of all methods.
fn list_methods<'a>(call: &Call<'a>) -> CallResult<'a> {
    no_params(call)?;
    Ok(json(&METHODS.iter().map(|(name, _)| *name).collect::<Vec<_>>()))
}

/// Shows that the gateway answers.
fn ping<'a>(call: &Call<'a>) -> CallResult<'a> {
    no_params(call)?;
    Ok(r#""pong""#.into())
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
fn whoami<'a>(call: &Call<'a>) -> CallResult<'a> {
    no_params(call)?;
    let client = call.client;
    Ok(json(&WhoAmI {
        conn_id: client.conn_id.to_string(),
        role: client.auth.role.as_str(),
        scopes: &client.auth.scopes,
        presence_key: &client.auth.presence_key,
        remote_addr: client.remote_addr.to_string(),
        connected_seconds: client.connected_at.elapsed().as_secs(),
    }))
}

/// For methods that take no params; empty ones are none.
fn no_params(call: &Call<'_>) -> Result<(), RpcError> {
    let inside = call.params.map(|params| &params.get()[1..params.get().len() - 1]);
    match inside.is_none_or(|inside| inside.trim_ascii().is_empty()) {
        true => Ok(()),
        false => Err(RpcError::new(ErrorCode::InvalidParams, "Invalid params: this method takes none")),
    }
}

fn json(value: &impl Serialize) -> Cow<'static, str> {
    serde_json::to_string(value).expect("these structs have string keys only").into()
}
