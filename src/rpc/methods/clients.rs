//! `clients.*`: lists of connected and disconnected clients, messages to clients, and disconnecting them.

use super::gateway::Queued;
use crate::client::CloseReason;
use crate::registry::enqueue_all;
use crate::rpc::method::{Context, MethodResult, Outcome, ready};
use crate::rpc::protocol::error::RpcError;
use crate::rpc::protocol::message::{CowStr, notification};
use crate::rpc::protocol::params::{Params, required};
use crate::rpc::protocol::response::to_json;
use crate::rpc::query::filter::Filter;
use crate::rpc::query::page::{Page, take_limit, truncate};
use crate::rpc::query::rows::rows_to_json;
use crate::rpc::query::scan::{Collect, scan};
use crate::rpc::query::view::{ClientDetails, ClientView, ClosedView};
use log::info;
use serde::Serialize;
use serde_json::value::RawValue;

/// A page of the clients that match a filter.
pub fn list<'a>(context: Context<'a>) -> MethodResult<'a> {
    let mut params = context.params()?;
    let (filter, page) = (Filter::take(&mut params, &context.state.identities)?, Page::take(&mut params)?);
    params.finish()?;
    scan(&context, None, filter, page)
}

/// One client as `clients.list` shows it, with its scopes, its subscriptions and the numbers of its pending calls.
pub fn get<'a>(context: Context<'a>) -> MethodResult<'a> {
    let mut params = context.params()?;
    let conn_id = required(params.conn_id("conn_id")?, "conn_id")?;
    params.finish()?;
    let client = context.state.registry.get(conn_id).ok_or_else(RpcError::no_client)?;
    let subscriptions = context.state.topics.subscriptions(conn_id);
    ready(&ClientDetails {
        client: ClientView::of(&client),
        scopes: &client.scopes(),
        subscriptions: subscriptions.iter().map(|topic| &**topic).collect(),
        calls: context.state.calls.client_calls(conn_id),
    })
}

/// A page of the closed connections, the latest first.
pub fn closed<'a>(context: Context<'a>) -> MethodResult<'a> {
    let mut params = context.params()?;
    let (filter, limit) = (Filter::take_closed(&mut params, &context.state.identities)?, take_limit(&mut params)?);
    let cursor = params.cursor(|text| text.parse::<u64>().ok())?;
    params.finish()?;
    let (state, before) = (context.state.clone(), cursor.unwrap_or(u64::MAX));
    Ok(Outcome::Future(Box::pin(async move {
        let mut last = state.closed.page(before, limit + 1, |closed| filter.matches_closed(closed)).await;
        let has_more = truncate(&mut last, limit);
        let next_cursor = last.last().filter(|_| has_more).map(|(number, _)| number.to_string());
        rows_to_json("closed", &last, next_cursor, |(_, closed)| to_json(&ClosedView::of(closed))).await
    })))
}

/// Sends a notification to one client, or to all clients of a presence key or of a role.
pub fn send<'a>(context: Context<'a>) -> MethodResult<'a> {
    let mut params = context.params()?;
    let conn_id = params.conn_id("conn_id")?;
    let filter = Filter::take_target(&mut params, &context.state.identities, conn_id.is_none())?;
    let (method, data) = (take_method(&mut params)?, take_params(&mut params)?);
    params.finish()?;
    let message = notification(method, data).into();
    let action = Collect::then(move |clients| {
        let (queued, pending) = enqueue_all(&clients, &message);
        pending.flush();
        to_json(&Queued { queued })
    });
    scan(&context, conn_id, filter, action)
}

#[derive(Serialize)]
struct Disconnected {
    matched: usize,
    disconnected: usize,
    dry_run: bool,
}

/// Disconnects the clients that match a filter, except the caller, whose response would be lost.
pub fn disconnect<'a>(context: Context<'a>) -> MethodResult<'a> {
    let mut params = context.params()?;
    let (conn_id, filter) = (params.conn_id("conn_id")?, Filter::take(&mut params, &context.state.identities)?);
    let dry_run = params.optional::<bool>("dry_run", "true or false")?.unwrap_or(false);
    let detail = params.checked("reason", DETAIL_SYNTAX, |text| is_detail(text).then(|| text.to_owned()))?;
    params.finish()?;
    if conn_id.is_none() && filter.is_empty() {
        return Err(RpcError::invalid_member("conn_id", "conn_id or a filter is needed"));
    }
    let caller_id = context.client().ok().map(|client| client.conn_id);
    let requested_by = context.auth().presence_key.clone();
    let detail = detail.unwrap_or_default();
    let target = conn_id.map_or_else(|| filter.to_string(), |conn_id| format!("conn_id={conn_id} {filter}"));
    let action = Collect::then(move |mut clients| {
        clients.retain(|client| caller_id != Some(client.conn_id));
        let matched = clients.len();
        if dry_run {
            clients.clear();
        }
        if !clients.is_empty() {
            // Logged once for all clients, and before their own lines, which may fill the log's queue.
            info!("disconnecting clients={matched} by={requested_by} detail={detail:?} {}", target.trim_end());
        }
        let disconnected = clients.iter().filter(|client| client.disconnect(&requested_by, &detail)).count();
        to_json(&Disconnected { matched, disconnected, dry_run })
    });
    scan(&context, conn_id, filter, action)
}

const DETAIL_SYNTAX: &str = "at most 100 bytes without control characters";

fn is_detail(text: &str) -> bool {
    text.len() <= CloseReason::MAX_DETAIL_BYTES && !text.contains(char::is_control)
}

/// Takes the name of a client's method as the caller's JSON text. Names that begin with `gateway.` or `rpc.` are
/// rejected.
pub fn take_method<'a>(params: &mut Params<'a>) -> Result<&'a str, RpcError> {
    const EXPECTED: &str = "a string of 1 to 128 bytes that doesn't begin with gateway. or rpc.";
    let raw = required(params.raw("method"), "method")?.get();
    let is_allowed =
        |name: &str| (1..=128).contains(&name.len()) && !name.starts_with("gateway.") && !name.starts_with("rpc.");
    match serde_json::from_str::<CowStr<'_>>(raw) {
        Ok(CowStr(name)) if is_allowed(&name) => Ok(raw),
        _ => Err(RpcError::unexpected_member("method", EXPECTED)),
    }
}

/// Takes the params of a request to a client, an object or an array, as the caller's JSON text.
pub fn take_params<'a>(params: &mut Params<'a>) -> Result<Option<&'a str>, RpcError> {
    match params.raw("params").map(RawValue::get) {
        Some(text) if !text.starts_with(['{', '[']) => {
            Err(RpcError::unexpected_member("params", "an object or an array"))
        }
        text => Ok(text),
    }
}
