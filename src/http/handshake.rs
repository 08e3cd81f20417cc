//! The opening handshake (RFC 6455, section 4.2): checks a request's headers, and builds the 101 response.

use super::credentials::{BEARER_PROTOCOL, PROTOCOL};
use super::error::HttpError;
use super::headers::{list_items, single};
use super::percent::percent_decode;
use crate::auth::AuthInfo;
use crate::client::ConnId;
use crate::config::Config;
use crate::http::origin;
use crate::registry::{Presence, Reservation};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, Version};
use std::fmt::Write;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The result of a valid handshake: its response, and what a session starts with.
pub struct AcceptedHandshake {
    /// The complete 101 response, as bytes on the wire.
    pub response: String,
    pub conn_id: ConnId,
    pub auth: Arc<AuthInfo>,
    /// Holds the presence key until the client is registered, if its role's policy is `reject`.
    pub reservation: Reservation,
}

/// Checks an upgrade request to `host`, authenticates it with `authenticate`, and reserves its presence key.
///
/// # Errors
/// The HTTP error of the first check that fails.
pub fn accept(
    request: &Parts,
    host: &str,
    config: &Config,
    presence: &Arc<Presence>,
    authenticate: impl FnOnce() -> Result<Arc<AuthInfo>, HttpError>,
) -> Result<AcceptedHandshake, HttpError> {
    let headers = &request.headers;
    check_upgrade(request)?;
    let key = check_key(headers)?;
    if host.is_empty() {
        return Err(HttpError::bad_request("Host is empty"));
    }
    check_origin(headers, host, config)?;
    let auth = authenticate()?;
    let protocol = choose_protocol(headers)?;
    let reservation = presence.reserve(&auth).map_err(HttpError::unavailable)?;
    let conn_id = ConnId::random();
    Ok(AcceptedHandshake { response: switching_protocols(Some(conn_id), key, protocol), conn_id, auth, reservation })
}

/// A 101 response and a close frame that tell a browser why its handshake is refused: it hides a response with any other
/// status from the page. `None` if the request isn't a valid handshake, or the error has no close code.
pub fn refuse_in_band(request: &Parts, error: &HttpError) -> Option<Vec<u8>> {
    let failure = error.handshake_failure();
    let code = failure.close_code()?;
    check_upgrade(request).ok()?;
    let key = check_key(&request.headers).ok()?;
    let protocol = choose_protocol(&request.headers).ok()?;
    let mut response = switching_protocols(None, key, protocol).into_bytes();
    let reason = failure.label();
    // An unmasked close frame (RFC 6455, section 5.5.1). The labels are short.
    response.extend([0x88, 2 + reason.len() as u8]);
    response.extend(code.to_be_bytes());
    response.extend(reason.as_bytes());
    Some(response)
}

/// Rejects a token in the query, since URLs are logged.
pub fn check_query(request: &Parts) -> Result<(), HttpError> {
    let query = request.uri.query().unwrap_or_default();
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    for name in names.filter_map(|name| percent_decode(name, true)) {
        if name.eq_ignore_ascii_case("token") || name.eq_ignore_ascii_case("access_token") {
            return Err(HttpError::token_in_query());
        }
    }
    Ok(())
}

fn check_upgrade(request: &Parts) -> Result<(), HttpError> {
    let headers = &request.headers;
    let is_upgrade = list_items(headers, UPGRADE).any(|item| item.eq_ignore_ascii_case("websocket"));
    if !is_upgrade || request.method != Method::GET {
        return Err(HttpError::upgrade_required());
    }
    if request.version != Version::HTTP_11 {
        return Err(HttpError::bad_request("a WebSocket handshake must be HTTP/1.1"));
    }
    if !list_items(headers, CONNECTION).any(|item| item.eq_ignore_ascii_case("upgrade")) {
        return Err(HttpError::bad_request("Connection must list upgrade"));
    }
    let has_body = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body || headers.contains_key(TRANSFER_ENCODING) {
        return Err(HttpError::bad_request("a WebSocket handshake can't have a body"));
    }
    match single(headers, SEC_WEBSOCKET_VERSION)? {
        Some(version) if version.trim() == "13" => Ok(()),
        Some(_) => Err(HttpError::version_not_supported()),
        None => Err(HttpError::bad_request("Sec-WebSocket-Version is missing")),
    }
}

fn check_key(headers: &HeaderMap) -> Result<&str, HttpError> {
    let key = single(headers, SEC_WEBSOCKET_KEY)?.ok_or(HttpError::bad_request("Sec-WebSocket-Key is missing"))?;
    // Only the syntax is checked. The last character's unused bits may be set, as in `AQIDBAUGBwgJCgsMDQ4PEC==` of the
    // RFC.
    let nonce = key.strip_suffix("==").unwrap_or_default();
    if nonce.len() != 22 || !nonce.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'/') {
        return Err(HttpError::bad_request("Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    Ok(key)
}

fn check_origin(headers: &HeaderMap, host: &str, config: &Config) -> Result<(), HttpError> {
    let Some(origin) = single(headers, ORIGIN)? else { return Ok(()) };
    if !origin::is_allowed(origin, host, &config.handshake.allowed_origins, config.auth.allows_anonymous()) {
        return Err(HttpError::origin_not_allowed());
    }
    Ok(())
}

/// Selects the gateway's subprotocol if the client offers it. A client that sends its token as a subprotocol must offer
/// it: a browser fails the connection if it offered subprotocols and none is selected.
fn choose_protocol(headers: &HeaderMap) -> Result<Option<&'static str>, HttpError> {
    let offered = || list_items(headers, SEC_WEBSOCKET_PROTOCOL);
    if offered().any(|item| item == PROTOCOL) {
        return Ok(Some(PROTOCOL));
    }
    if offered().any(|item| item.starts_with(BEARER_PROTOCOL)) {
        return Err(HttpError::bad_request("offer the subprotocol aisopod.v1 together with bearer.TOKEN"));
    }
    Ok(None)
}

/// The 101 response. Header names are in title case, since some embedded clients compare them case-sensitively.
fn switching_protocols(conn_id: Option<ConnId>, key: &str, protocol: Option<&str>) -> String {
    let mut response = String::with_capacity(256);
    response.push_str(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ",
    );
    response.push_str(&derive_accept_key(key.as_bytes()));
    if let Some(conn_id) = conn_id {
        // Writing to a string can't fail.
        let _ = write!(response, "\r\nX-Conn-Id: {conn_id}");
    }
    if let Some(protocol) = protocol {
        response.push_str("\r\nSec-WebSocket-Protocol: ");
        response.push_str(protocol);
    }
    response.push_str("\r\n\r\n");
    response
}
