//! The hyper service: which path is answered by what.

use super::admission::Place;
use super::answer::{Refusal, closing, json};
use super::exchange::Exchange;
use super::gateway::Gateway;
use super::operators::{self, Operation};
use super::upgrade::{self, Accepted};
use crate::client::RemoteAddr;
use crate::ops::{NoRoute, Route, route};
use crate::rpc::Router;
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
pub(super) enum Answer {
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
pub(super) fn answer(
    gateway: &Arc<Gateway>,
    exchange: &Arc<Exchange>,
    place: &Place,
    remote_addr: RemoteAddr,
    request: Request<Incoming>,
) -> Answer {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/ws" && place.door.serves_clients() {
        let result = handshake(gateway, place, &parts);
        return Answer::Now(Some(answer_handshake(gateway, exchange, remote_addr, result)));
    }
    let may_stay = place.may_upgrade;
    // First: what is answered isn't a handshake in progress.
    let stays = stays_open(gateway, exchange, may_stay);
    let response = match find(gateway, place, &parts) {
        Ok(Found::Plain(response)) => response,
        Err(refusal) => refusal.into_response(),
        Ok(Found::Operation(route, router)) => {
            let operation = Operation { route, headers: parts.headers, body, remote_addr };
            return Answer::Later(Box::pin(operate(gateway.clone(), exchange.clone(), router, operation, may_stay)));
        }
    };
    Answer::Now(Some(if stays { response } else { closing(response) }))
}

async fn operate(
    gateway: Arc<Gateway>,
    exchange: Arc<Exchange>,
    router: Arc<Router>,
    operation: Operation,
    may_stay: bool,
) -> Response<String> {
    let settings = &gateway.config.handshake;
    exchange.begin_operation(Instant::now() + settings.timeout + settings.idle_timeout);
    let response = operators::answer(&gateway, &router, &exchange, operation).await;
    if stays_open(&gateway, &exchange, may_stay) { response } else { closing(response) }
}

/// A plain request is answered: lets the connection live on for a next one, if there is room for that.
fn stays_open(gateway: &Gateway, exchange: &Exchange, may_stay: bool) -> bool {
    let deadline = Instant::now() + gateway.config.handshake.idle_timeout;
    let keep_alive = || may_stay.then(|| gateway.admission.try_keep_alive()).flatten();
    exchange.answer_plain(deadline, keep_alive)
}

fn answer_handshake(
    gateway: &Gateway,
    exchange: &Exchange,
    remote_addr: RemoteAddr,
    result: Result<(Accepted, Response<String>), Refusal>,
) -> Response<String> {
    let (accepted, response) = match result {
        Ok((accepted, response)) => (Some(accepted), response),
        Err(refusal) => {
            let (status, cause) = (refusal.status.as_u16(), refusal.code);
            debug!("handshake refused remote_addr={remote_addr} status={status} cause={cause}");
            gateway.handshakes.failed.add(refusal.code);
            (None, closing(refusal.into_response()))
        }
    };
    exchange.answer_handshake(Instant::now() + gateway.config.handshake.timeout, accepted);
    response
}

fn handshake(gateway: &Gateway, place: &Place, request: &Parts) -> Result<(Accepted, Response<String>), Refusal> {
    upgrade::check_target(request)?;
    check_method(request)?;
    let accepted = upgrade::accept(request, &gateway.config, &gateway.presence)?;
    match (gateway.is_ready(), place.may_upgrade) {
        (false, _) => Err(Refusal::draining()),
        (true, false) => Err(Refusal::full()),
        (true, true) => Ok(accepted),
    }
}

/// What is at a path.
enum Found {
    Plain(Response<String>),
    Operation(Route, Arc<Router>),
}

fn find(gateway: &Gateway, place: &Place, request: &Parts) -> Result<Found, Refusal> {
    upgrade::check_target(request)?;
    let body = match request.uri.path() {
        "/healthz" => r#"{"status":"ok"}"#.to_owned(),
        "/readyz" if gateway.is_ready() => r#"{"status":"ready"}"#.to_owned(),
        "/readyz" => return check_method(request).and(Err(Refusal::draining())),
        "/status" if place.door.serves_operators() => gateway.status(),
        _ => return find_operation(gateway, place, request),
    };
    check_method(request)?;
    Ok(Found::Plain(json(StatusCode::OK, body)))
}

fn find_operation(gateway: &Gateway, place: &Place, request: &Parts) -> Result<Found, Refusal> {
    let router = gateway.router.as_ref().filter(|_| place.door.serves_operators()).ok_or(Refusal::not_found())?;
    match route(&request.method, request.uri.path(), request.uri.query().unwrap_or_default()) {
        Ok(route) => Ok(Found::Operation(route, router.clone())),
        Err(NoRoute::NotFound) => Err(Refusal::not_found()),
        Err(NoRoute::NotAllowed(allow)) => Err(Refusal::method_not_allowed(allow)),
        Err(NoRoute::Malformed(message)) => Err(Refusal::malformed(message)),
    }
}

fn check_method(request: &Parts) -> Result<(), Refusal> {
    match request.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Refusal::method_not_allowed(READ_ONLY)),
    }
}
