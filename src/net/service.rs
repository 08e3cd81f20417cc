//! The hyper service: which path is answered by what.

use super::admission::Place;
use super::answer::{Refusal, json};
use super::exchange::Exchange;
use super::gateway::Gateway;
use super::upgrade;
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
    request: Request<Incoming>,
) -> Response<String> {
    let (parts, _) = request.into_parts();
    if parts.uri.path() == "/ws" {
        return answer_handshake(gateway, exchange, place, &parts);
    }
    exchange.answer_plain(Instant::now() + gateway.config.handshake.idle_timeout);
    let response = plain(gateway, &parts).unwrap_or_else(Refusal::into_response);
    if place.may_keep_alive() { response } else { closing(response) }
}

fn answer_handshake(gateway: &Gateway, exchange: &Exchange, place: &Place, request: &Parts) -> Response<String> {
    let (accepted, response) = match handshake(gateway, place, request) {
        Ok((accepted, response)) => (Some(accepted), response),
        Err(refusal) => {
            debug!("handshake refused status={} cause={}", refusal.status.as_u16(), refusal.code);
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

fn handshake(
    gateway: &Gateway,
    place: &Place,
    request: &Parts,
) -> Result<(upgrade::Accepted, Response<String>), Refusal> {
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
