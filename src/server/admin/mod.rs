//! The admin API: JSON-RPC methods as HTTP requests. It authenticates a request, reads its body, calls the method and
//! answers with its result.

pub mod routes;
pub mod stats;

use crate::auth::AuthInfo;
use crate::budget;
use crate::client::RemoteAddr;
use crate::http::error::{HandshakeFailure, HttpError};
use crate::http::headers::single;
use crate::http::host::host_of;
use crate::http::origin;
use crate::http::response::{json, with_close};
use crate::memory::Charge;
use crate::rpc::http_call::HttpCall;
use crate::rpc::protocol::error::{ErrorKind, RpcError};
use crate::rpc::protocol::responder::CallResult;
use crate::rpc::router::Router;
use crate::server::client_addr::ClientAddr;
use crate::server::http_state::HttpState;
use crate::server::state::ServerState;
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use routes::Route;
use serde_json::value::RawValue;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use tokio::time::{Instant, timeout};

/// A request with its route.
pub struct AdminRequest {
    pub route: Route,
    pub parts: Parts,
    pub body: Incoming,
    pub client: ClientAddr,
}

/// Answers a request.
pub async fn serve(server: &ServerState, router: &Router, http: &HttpState, request: AdminRequest) -> Response<String> {
    let AdminRequest { route, parts, body, client } = request;
    let has_body = !body.is_end_stream();
    let authorized = async {
        let auth = authenticate(server, &parts, client).map_err(HttpError::into_response)?;
        router.check_scope(&auth, route.method).map_err(|error| respond(CallResult::Failed(error)))?;
        if server.memory.excess() > 0 {
            return Err(HttpError::overloaded().into_response());
        }
        let body = read_body_in_time(server, &route, body).await.map_err(HttpError::into_response)?;
        Ok((auth, body))
    };
    let call = match authorized.await {
        Ok((auth, (body, _charge))) => {
            http.on_admin_body();
            router.large_messages.run(body.len(), || call(router, &auth, &route, &body)).await
        }
        // The rest of the body isn't read, so the connection must close.
        Err(response) => return if has_body { with_close(response) } else { response },
    };
    // Frees memory while the call waits for a node.
    drop((route, parts));
    let call = match call {
        Ok(call) => call,
        Err(error) => return error.into_response(),
    };
    if let Some(timeout) = call.node_timeout {
        http.extend_deadline(Instant::now() + timeout + server.config.load().handshake.idle_timeout);
    }
    respond(call.result.await)
}

fn call(router: &Router, auth: &Arc<AuthInfo>, route: &Route, body: &[u8]) -> Result<HttpCall, HttpError> {
    budget::charge_bytes(body.len());
    let body = std::str::from_utf8(body).map_err(|_| HttpError::bad_request("the body isn't UTF-8"))?;
    let params = route.params(body).and_then(|params| RawValue::from_string(params).ok());
    let params = params.ok_or(HttpError::bad_request("the body isn't a JSON object"))?;
    Ok(router.call(auth, route.method, &params))
}

/// Authenticates a request as a handshake would. Unlike a handshake, also rejects a request without `Origin` whose host
/// isn't safe from DNS rebinding.
fn authenticate(server: &ServerState, request: &Parts, client: ClientAddr) -> Result<Arc<AuthInfo>, HttpError> {
    server.admin.requests.add(1);
    let (config, headers) = (server.config.load(), &request.headers);
    let (host, anonymous) = (host_of(request)?, config.auth.allows_anonymous());
    match single(headers, ORIGIN)? {
        Some(page) if !origin::is_allowed(page, host, &config.handshake.allowed_origins, anonymous) => {
            return Err(HttpError::origin_not_allowed());
        }
        // Web pages can't reach a Unix socket.
        None if client.remote_addr != RemoteAddr::Unix && !origin::is_rebinding_safe(host, anonymous) => {
            return Err(HttpError::host_not_allowed());
        }
        _ => {}
    }
    client.authenticate(server, &config, headers).inspect_err(|error| {
        let remote_addr = client.remote_addr;
        match error.handshake_failure() {
            HandshakeFailure::Unauthorized => server.admin.unauthorized.add(1),
            HandshakeFailure::TooManyFailures => server.admin.too_many_failures.add(1),
            _ => {}
        }
        // A request without a credential isn't a guess.
        if headers.contains_key(AUTHORIZATION) {
            let cause = error.code();
            server
                .admin_refusals
                .log(cause, format_args!("admin request refused remote_addr={remote_addr} cause={cause}"));
        }
    })
}

/// Reads a request's body. That of a route without one must be empty, as some clients send it with GET in chunks.
async fn read_body_in_time(
    server: &ServerState,
    route: &Route,
    body: Incoming,
) -> Result<(Vec<u8>, Charge), HttpError> {
    let (max_bytes, too_large) = if route.has_body {
        (server.config.load().limits.max_message_bytes, HttpError::body_too_large())
    } else {
        (0, HttpError::bad_request("this request takes no body: use the query for its parameters"))
    };
    let read = read(body, max_bytes, too_large, Charge::new(&server.memory, 0));
    timeout(server.config.load().handshake.timeout, read).await.unwrap_or_else(|_| Err(HttpError::body_timeout()))
}

/// Reads a body of up to `max_bytes`, and enters it into the account of memory; fails with `too_large` if it has more.
async fn read(
    mut body: Incoming,
    max_bytes: usize,
    too_large: HttpError,
    mut charge: Charge,
) -> Result<(Vec<u8>, Charge), HttpError> {
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| HttpError::bad_request("the body is invalid or incomplete"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > max_bytes {
            return Err(too_large);
        }
        charge.grow(data.len() as u64);
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, charge))
}

fn respond(result: CallResult<'_>) -> Response<String> {
    match result {
        CallResult::Success(result) => json(StatusCode::OK, result.into_owned()),
        CallResult::NodeError(error) => {
            let start = r#"{"error":{"code":"node_error","message":"the node answered with an error","data":"#;
            json(StatusCode::BAD_GATEWAY, format!("{start}{error}}}}}"))
        }
        CallResult::Failed(error) => {
            let body = serde_json::json!({
                "error": { "code": error.kind.label(), "message": error.message, "data": error.data() }
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
