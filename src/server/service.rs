//! The hyper service: which path is answered by what.

use super::admin::AdminRequest;
use super::admission::Slot;
use super::http_state::HttpState;
use super::state::ServerState;
use crate::client::RemoteAddr;
use crate::http::error::HttpError;
use crate::http::handshake;
use crate::http::handshake::AcceptedHandshake;
use crate::http::response::{json, with_close};
use crate::rpc::router::Router;
use crate::server::admin;
use crate::server::admin::routes::{Route, RouteError, route};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use log::debug;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// What plain paths take.
const READ_ONLY: &str = "GET, HEAD";

/// An answer that is there, but for those of operators' requests, which may have bodies, take several turns or wait for a node.
pub(crate) enum Answer {
    Now(Option<Response<String>>),
    Later(Pin<Box<dyn Future<Output = Response<String>> + Send>>),
}

impl Future for Answer {
    type Output = Result<Response<String>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answer::Now(response) => Poll::Ready(Ok(response.take().expect("a future isn't polled once it is ready"))),
            Answer::Later(response) => response.as_mut().poll(cx).map(Ok),
        }
    }
}

/// Answers one request.
pub(crate) fn answer(
    gateway: &Arc<ServerState>,
    http: &Arc<HttpState>,
    slot: &Slot,
    remote_addr: RemoteAddr,
    request: Request<Incoming>,
) -> Answer {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/ws" && slot.role.serves_clients() {
        let result = handshake(gateway, slot, &parts);
        return Answer::Now(Some(answer_handshake(gateway, http, remote_addr, result)));
    }
    let may_stay = slot.may_upgrade;
    // First: what is answered isn't a handshake in progress.
    let stays = stays_open(gateway, http, may_stay);
    let response = match find(gateway, slot, &parts) {
        Ok(Found::Plain(response)) => response,
        Err(error) => error.into_response(),
        Ok(Found::AdminRequest(route, router)) => {
            let operation = AdminRequest { route, headers: parts.headers, body, remote_addr };
            return Answer::Later(Box::pin(operate(gateway.clone(), http.clone(), router, operation, may_stay)));
        }
    };
    Answer::Now(Some(if stays { response } else { with_close(response) }))
}

async fn operate(
    gateway: Arc<ServerState>,
    http: Arc<HttpState>,
    router: Arc<Router>,
    operation: AdminRequest,
    may_stay: bool,
) -> Response<String> {
    let settings = &gateway.config.handshake;
    http.on_admin_request(Instant::now() + settings.timeout + settings.idle_timeout);
    let response = admin::serve_admin(&gateway, &router, &http, operation).await;
    if stays_open(&gateway, &http, may_stay) { response } else { with_close(response) }
}

/// A plain request is answered: lets the connection live on for a next one, if there is room for that.
fn stays_open(gateway: &ServerState, http: &HttpState, may_stay: bool) -> bool {
    let deadline = Instant::now() + gateway.config.handshake.idle_timeout;
    let keep_alive = || may_stay.then(|| gateway.connections.try_keep_alive()).flatten();
    http.on_plain_response(deadline, keep_alive)
}

fn answer_handshake(
    gateway: &ServerState,
    http: &HttpState,
    remote_addr: RemoteAddr,
    result: Result<(AcceptedHandshake, Response<String>), HttpError>,
) -> Response<String> {
    let (accepted, response) = match result {
        Ok((accepted, response)) => (Some(accepted), response),
        Err(error) => {
            let (status, cause) = (error.status.as_u16(), error.code);
            debug!("handshake refused remote_addr={remote_addr} status={status} cause={cause}");
            gateway.handshakes.failed.add(error.code);
            (None, with_close(error.into_response()))
        }
    };
    http.on_handshake_response(Instant::now() + gateway.config.handshake.timeout, accepted);
    response
}

fn handshake(
    gateway: &ServerState,
    slot: &Slot,
    request: &Parts,
) -> Result<(AcceptedHandshake, Response<String>), HttpError> {
    handshake::check_target(request)?;
    check_method(request)?;
    let accepted = handshake::accept(request, &gateway.config, &gateway.presence)?;
    match (gateway.is_ready(), slot.may_upgrade) {
        (false, _) => Err(HttpError::draining()),
        (true, false) => Err(HttpError::full()),
        (true, true) => Ok(accepted),
    }
}

/// What is at a path.
enum Found {
    Plain(Response<String>),
    AdminRequest(Route, Arc<Router>),
}

fn find(gateway: &ServerState, slot: &Slot, request: &Parts) -> Result<Found, HttpError> {
    handshake::check_target(request)?;
    let body = match request.uri.path() {
        "/healthz" => r#"{"status":"ok"}"#.to_owned(),
        "/readyz" if gateway.is_ready() => r#"{"status":"ready"}"#.to_owned(),
        "/readyz" => return check_method(request).and(Err(HttpError::draining())),
        "/status" if slot.role.serves_admin() => gateway.status(),
        _ => return find_operation(gateway, slot, request),
    };
    check_method(request)?;
    Ok(Found::Plain(json(StatusCode::OK, body)))
}

fn find_operation(gateway: &ServerState, slot: &Slot, request: &Parts) -> Result<Found, HttpError> {
    let router = gateway.router.as_ref().filter(|_| slot.role.serves_admin()).ok_or(HttpError::not_found())?;
    match route(&request.method, request.uri.path(), request.uri.query().unwrap_or_default()) {
        Ok(route) => Ok(Found::AdminRequest(route, router.clone())),
        Err(RouteError::NotFound) => Err(HttpError::not_found()),
        Err(RouteError::NotAllowed(allow)) => Err(HttpError::method_not_allowed(allow)),
        Err(RouteError::Malformed(message)) => Err(HttpError::bad_request(message)),
    }
}

fn check_method(request: &Parts) -> Result<(), HttpError> {
    match request.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(HttpError::method_not_allowed(READ_ONLY)),
    }
}
