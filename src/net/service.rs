//! The hyper service: which path is answered by what.

use super::admission::Place;
use super::answer::{Refusal, json};
use super::exchange::Exchange;
use super::gateway::Gateway;
use super::upgrade::{self, Accepted};
use crate::client::RemoteAddr;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use log::debug;
use tokio::time::Instant;

/// Answers one request. Nothing here waits.
pub(super) fn answer(
    gateway: &Gateway,
    exchange: &Exchange,
    place: &Place,
    remote_addr: RemoteAddr,
    request: Request<Incoming>,
) -> Response<String> {
    let (parts, _) = request.into_parts();
    if parts.uri.path() == "/ws" {
        let result = handshake(gateway, place, &parts);
        return answer_handshake(gateway, exchange, remote_addr, result);
    }
    let deadline = Instant::now() + gateway.config.handshake.idle_timeout;
    let keep_alive = || place.may_upgrade.then(|| gateway.admission.try_keep_alive()).flatten();
    let may_keep_alive = exchange.answer_plain(deadline, keep_alive);
    let response = plain(gateway, &parts).unwrap_or_else(Refusal::into_response);
    if may_keep_alive { response } else { closing(response) }
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

/// The last answer on its connection.
fn closing(mut response: Response<String>) -> Response<String> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn handshake(gateway: &Gateway, place: &Place, request: &Parts) -> Result<(Accepted, Response<String>), Refusal> {
    upgrade::check_target(request)?;
    check_method(request)?;
    let accepted = upgrade::accept(request, &gateway.config)?;
    match (gateway.is_ready(), place.may_upgrade) {
        (false, _) => Err(Refusal::draining()),
        (true, false) => Err(Refusal::full()),
        (true, true) => Ok(accepted),
    }
}

fn plain(gateway: &Gateway, request: &Parts) -> Result<Response<String>, Refusal> {
    upgrade::check_target(request)?;
    let body = match request.uri.path() {
        "/status" => gateway.status(),
        "/healthz" => r#"{"status":"ok"}"#.to_owned(),
        "/readyz" if gateway.is_ready() => r#"{"status":"ready"}"#.to_owned(),
        "/readyz" => return check_method(request).and(Err(Refusal::draining())),
        _ => return Err(Refusal::not_found()),
    };
    check_method(request)?;
    Ok(json(StatusCode::OK, body))
}

fn check_method(request: &Parts) -> Result<(), Refusal> {
    match request.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Refusal::method_not_allowed()),
    }
}
