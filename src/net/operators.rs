//! The operators' HTTP: who asks, what the request holds, and what came of the call it is.

use super::answer::{Refusal, json};
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
use serde_json::value::RawValue;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Longer than any call.
const LONGEST_CALL: Duration = Duration::from_secs(2 * 3600);

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
    let params = async {
        let auth = authenticate(gateway, &headers, remote_addr)?;
        let body = if route.has_body { read_in_time(gateway, body).await? } else { Vec::new() };
        let body = std::str::from_utf8(&body).map_err(|_| Refusal::malformed("the body isn't UTF-8"))?;
        let params = route.params(body).and_then(|params| RawValue::from_string(params).ok());
        Ok((auth, params.ok_or(Refusal::malformed("the body isn't a JSON object"))?))
    };
    let (auth, params) = match params.await {
        Ok(params) => params,
        Err(refusal) => return Refusal::into_response(refusal),
    };
    let outcome = match router.call(&auth, route.method, &params) {
        HttpCall::Done(outcome) => outcome,
        HttpCall::Waiting(waiting) => {
            exchange.wait_until(Instant::now() + LONGEST_CALL);
            waiting.wait().await
        }
    };
    respond(outcome)
}

/// Who asks, by the same credentials as a client's. A web page needs to be one that may connect.
fn authenticate(gateway: &Gateway, headers: &HeaderMap, remote_addr: RemoteAddr) -> Result<Arc<AuthInfo>, Refusal> {
    let config = &gateway.config;
    let host = only(headers, HOST)?.unwrap_or_default();
    if !origin::is_host_trusted(host, config.auth.is_open()) {
        return Err(Refusal::host_not_allowed());
    }
    if let Some(page) = only(headers, ORIGIN)?
        && !origin::is_allowed(page, host, &config.handshake.allowed_origins, config.auth.is_open())
    {
        return Err(Refusal::origin_not_allowed());
    }
    if let Some(wait) = gateway.failures.blocked(remote_addr) {
        return Err(Refusal::too_many_failures(wait));
    }
    let auth = config.auth.authenticate(&Proof::of(headers)?.presented());
    auth.ok_or_else(|| {
        gateway.failures.add(remote_addr);
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
        | ErrorKind::InvalidParams => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::CallerBusy | ErrorKind::NodeBusy | ErrorKind::TooManySubscriptions => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::NodeDisconnected | ErrorKind::InvalidAnswer => StatusCode::BAD_GATEWAY,
        ErrorKind::Draining => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
