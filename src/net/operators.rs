//! The operators' HTTP: who asks, what the request holds, and what came of the call it is.

use super::answer::{Refusal, closing, json};
use super::exchange::Exchange;
use super::gateway::Gateway;
use super::headers::only;
use super::origin;
use super::proof::Proof;
use crate::auth::AuthInfo;
use crate::client::RemoteAddr;
use crate::ops::Route;
use crate::rpc::{ErrorKind, HttpCall, Outcome, Router, RpcError};
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::{Response, StatusCode};
use log::{debug, info};
use serde_json::value::RawValue;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use tokio::time::{Instant, timeout};

/// A request that has a route.
pub(super) struct Operation {
    pub(super) route: Route,
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
    pub(super) remote_addr: RemoteAddr,
}

/// Answers a request.
pub(super) async fn answer(
    gateway: &Gateway,
    router: &Router,
    exchange: &Exchange,
    operation: Operation,
) -> Response<String> {
    let Operation { route, headers, body, remote_addr } = operation;
    let has_body = !body.is_end_stream();
    let request = async {
        let auth = authenticate(gateway, &headers, remote_addr)?;
        if has_body && !route.has_body {
            return Err(Refusal::malformed("this takes no body: the query says what is meant"));
        }
        let body = if route.has_body { read_in_time(gateway, body).await? } else { Vec::new() };
        Ok((auth, body))
    };
    let called = match request.await {
        Ok((auth, body)) => call(router, &auth, &route, &body),
        // What is left of the body isn't read.
        Err(refusal) if has_body => return closing(refusal.into_response()),
        Err(refusal) => Err(refusal),
    };
    // Nothing of the request is kept while a node is waited for.
    drop((route, headers));
    match called {
        Ok(HttpCall::Done(outcome)) => respond(outcome),
        // No deadline: it waits for nobody, and ends.
        Ok(HttpCall::Unfinished(work)) => respond(work.finish().await),
        Ok(HttpCall::Waiting(waiting)) => {
            exchange.wait_until(Instant::now() + waiting.timeout + gateway.config.handshake.idle_timeout);
            respond(waiting.wait().await)
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn call(router: &Router, auth: &Arc<AuthInfo>, route: &Route, body: &[u8]) -> Result<HttpCall, Refusal> {
    let body = std::str::from_utf8(body).map_err(|_| Refusal::malformed("the body isn't UTF-8"))?;
    let params = route.params(body).and_then(|params| RawValue::from_string(params).ok());
    let params = params.ok_or(Refusal::malformed("the body isn't a JSON object"))?;
    Ok(router.call(auth, route.method, &params))
}

/// Who asks, by the same credentials as a client's. A web page needs to be one that may connect.
fn authenticate(gateway: &Gateway, headers: &HeaderMap, remote_addr: RemoteAddr) -> Result<Arc<AuthInfo>, Refusal> {
    gateway.operator_requests.requests.add(1);
    let config = &gateway.config;
    let (host, open) = (only(headers, HOST)?.unwrap_or_default(), config.auth.is_open());
    match only(headers, ORIGIN)? {
        Some(page) if !origin::is_allowed(page, host, &config.handshake.allowed_origins, open) => {
            return Err(Refusal::origin_not_allowed());
        }
        // No page reaches a Unix socket.
        None if remote_addr != RemoteAddr::Unix && !origin::is_host_trusted(host, open) => {
            return Err(Refusal::host_not_allowed());
        }
        _ => {}
    }
    if let Some(wait) = gateway.failures.blocked(remote_addr) {
        gateway.operator_requests.too_many_failures.add(1);
        return Err(Refusal::too_many_failures(wait));
    }
    let proof = Proof::of(headers)?;
    config.auth.authenticate(&proof.presented()).ok_or_else(|| {
        gateway.operator_requests.unauthorized.add(1);
        // Who shows nothing guesses nothing.
        if !matches!(proof, Proof::Nothing) {
            debug!("operator's request refused remote_addr={remote_addr} cause=unauthorized");
            gateway.failures.add(remote_addr);
            if gateway.failures.blocked(remote_addr).is_some() {
                info!("operators' requests are refused after too many failures remote_addr={remote_addr}");
            }
        }
        Refusal::unauthorized(config.auth.scheme())
    })
}

async fn read_in_time(gateway: &Gateway, body: Incoming) -> Result<Vec<u8>, Refusal> {
    let read = read(body, gateway.config.limits.max_message_bytes);
    timeout(gateway.config.handshake.timeout, read).await.unwrap_or_else(|_| Err(Refusal::body_timeout()))
}

async fn read(mut body: Incoming, most: usize) -> Result<Vec<u8>, Refusal> {
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::body_too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| Refusal::malformed("the body can't be read"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(Refusal::body_too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn respond(outcome: Outcome<'_>) -> Response<String> {
    match outcome {
        Outcome::Result(result) => json(StatusCode::OK, result.into_owned()),
        Outcome::NodeError(error) => {
            let start = r#"{"error":{"code":"node_error","message":"the node answered with an error","data":"#;
            json(StatusCode::BAD_GATEWAY, format!("{start}{error}}}}}"))
        }
        Outcome::Failed(error) => {
            let body = serde_json::json!({
                "error": { "code": error.kind.reason(), "message": error.message, "data": error.data() }
            });
            json(status_of(&error), body.to_string())
        }
    }
}

fn status_of(error: &RpcError) -> StatusCode {
    match error.kind {
        ErrorKind::ParseError
        | ErrorKind::InvalidRequest
        | ErrorKind::BatchTooLarge
        | ErrorKind::MethodNotFound
        | ErrorKind::InvalidParams
        | ErrorKind::AnswerTooLarge => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::CallerBusy | ErrorKind::NodeBusy | ErrorKind::NodeOutboxFull | ErrorKind::TooManySubscriptions => {
            StatusCode::TOO_MANY_REQUESTS
        }
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::NodeDisconnected | ErrorKind::InvalidAnswer => StatusCode::BAD_GATEWAY,
        ErrorKind::Draining => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
