//! The opening handshake, RFC 6455 section 4.2: from a request's headers to the 101, or to why not.

use super::answer::Refusal;
use super::headers::{only, tokens};
use super::origin;
use super::proof::{BEARER_PROTOCOL, PROTOCOL, Proof};
use crate::auth::AuthInfo;
use crate::client::{ConnId, Presence, Reservation};
use crate::config::Config;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const X_CONN_ID: HeaderName = HeaderName::from_static("x-conn-id");

/// A handshake that was agreed to: who the client is, and what it is told.
pub(super) struct Accepted {
    pub(super) conn_id: ConnId,
    pub(super) auth: Arc<AuthInfo>,
    /// Its presence key's place, until it is there itself.
    pub(super) reservation: Reservation,
}

/// Checks a request for an upgrade, and who sends it.
pub(super) fn accept(
    request: &Parts,
    config: &Config,
    presence: &Arc<Presence>,
) -> Result<(Accepted, Response<String>), Refusal> {
    let headers = &request.headers;
    check_upgrade(request)?;
    let key = check_key(headers)?;
    let host = check_host(headers)?;
    check_origin(headers, host, config)?;
    let proof = Proof::of(headers)?;
    let auth = config.auth.authenticate(&proof.presented());
    let auth = auth.ok_or_else(|| Refusal::unauthorized(config.auth.scheme()))?;
    let protocol = choose_protocol(headers)?;
    let reservation = presence.reserve(&auth).ok_or(Refusal::presence_taken())?;
    let conn_id = ConnId::random();
    Ok((Accepted { conn_id, auth, reservation }, switching_protocols(conn_id, key, protocol)))
}

/// Whom it is for must be said (RFC 9112, section 3.2), and the address must carry no token.
pub(super) fn check_target(request: &Parts) -> Result<(), Refusal> {
    if only(&request.headers, HOST)?.is_none() && request.version == Version::HTTP_11 {
        return Err(Refusal::malformed("Host is missing"));
    }
    let query = request.uri.query().unwrap_or_default();
    let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    match names.any(|name| name.eq_ignore_ascii_case("token") || name.eq_ignore_ascii_case("access_token")) {
        true => Err(Refusal::token_in_query()),
        false => Ok(()),
    }
}

fn check_upgrade(request: &Parts) -> Result<(), Refusal> {
    let headers = &request.headers;
    let asks = tokens(headers, UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"));
    if !asks || request.method != Method::GET {
        return Err(Refusal::upgrade_required());
    }
    if request.version != Version::HTTP_11 {
        return Err(Refusal::malformed("a WebSocket handshake is HTTP/1.1"));
    }
    if !tokens(headers, CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Err(Refusal::malformed("Connection must list upgrade"));
    }
    let has_body = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::malformed("a WebSocket handshake has no body"));
    }
    match only(headers, SEC_WEBSOCKET_VERSION)? {
        Some(version) if version.trim() == "13" => Ok(()),
        Some(_) => Err(Refusal::version_not_supported()),
        None => Err(Refusal::malformed("Sec-WebSocket-Version is missing")),
    }
}

fn check_key(headers: &HeaderMap) -> Result<&str, Refusal> {
    let key = only(headers, SEC_WEBSOCKET_KEY)?.ok_or(Refusal::malformed("Sec-WebSocket-Key is missing"))?;
    // By its form: the unused bits of the last character may be anything, as in the RFC's own example.
    let nonce = key.strip_suffix("==").unwrap_or_default();
    match nonce.len() == 22 && nonce.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'/') {
        true => Ok(key),
        false => Err(Refusal::malformed("Sec-WebSocket-Key must be 16 bytes in base64")),
    }
}

fn check_host(headers: &HeaderMap) -> Result<&str, Refusal> {
    match only(headers, HOST)? {
        Some(host) if !host.is_empty() => Ok(host),
        _ => Err(Refusal::malformed("Host is missing")),
    }
}

fn check_origin(headers: &HeaderMap, host: &str, config: &Config) -> Result<(), Refusal> {
    let Some(origin) = only(headers, ORIGIN)? else { return Ok(()) };
    match origin::is_allowed(origin, host, &config.handshake.allowed_origins, config.auth.is_open()) {
        true => Ok(()),
        false => Err(Refusal::origin_not_allowed()),
    }
}

/// The subprotocol to speak, if the client offers it. A client that hides a token in the list must: a browser fails a
/// handshake that selects none.
fn choose_protocol(headers: &HeaderMap) -> Result<Option<&'static str>, Refusal> {
    let offered = || tokens(headers, SEC_WEBSOCKET_PROTOCOL);
    let hides_token = offered().any(|token| token.starts_with(BEARER_PROTOCOL));
    match offered().any(|token| token == PROTOCOL) {
        true => Ok(Some(PROTOCOL)),
        false if hides_token => Err(Refusal::malformed("the subprotocol bearer.<token> goes beside aisopod.v1")),
        false => Ok(None),
    }
}

fn switching_protocols(conn_id: ConnId, key: &str, protocol: Option<&'static str>) -> Response<String> {
    let value = |text: String| HeaderValue::try_from(text).expect("base64 and UUIDs are visible ASCII");
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, value(derive_accept_key(key.as_bytes())));
    headers.insert(X_CONN_ID, value(conn_id.to_string()));
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    response
}
