//! HTTP errors: each has a status, a code for programs, and a message for people.

pub use super::handshake_failure::HandshakeFailure;
use super::response::json;
use crate::registry::Unavailable;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

/// `Retry-After` at the connection limit and during a shutdown.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// The existing paths, for the message of a 404.
const PATHS: &str = "the paths are /healthz and /readyz at all addresses; /ws at those of listen; and /status, \
                     /clients, /clients/closed, /clients/CONN_ID, /clients/CONN_ID/messages, \
                     /topics/TOPIC/messages, /nodes and /nodes/NODE/invoke at those of ops.listen, or of listen if \
                     ops.listen isn't set";

/// The machine-readable code of an error response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// A code of handshakes; plain requests use some of them too.
    Handshake(HandshakeFailure),
    /// A code of plain requests only.
    Plain(&'static str),
}

impl From<HandshakeFailure> for ErrorCode {
    fn from(failure: HandshakeFailure) -> Self {
        ErrorCode::Handshake(failure)
    }
}

impl From<&'static str> for ErrorCode {
    fn from(code: &'static str) -> Self {
        ErrorCode::Plain(code)
    }
}

/// An error response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    pub status: StatusCode,
    code: ErrorCode,
    /// A sentence for people.
    message: Cow<'static, str>,
    /// A header that belongs to the status, such as `Allow` or `Retry-After`.
    header: Option<(HeaderName, HeaderValue)>,
}

impl HttpError {
    fn new(status: StatusCode, code: impl Into<ErrorCode>, message: impl Into<Cow<'static, str>>) -> Self {
        HttpError { status, code: code.into(), message: message.into(), header: None }
    }

    /// The cause under which a failed handshake is counted.
    pub fn handshake_failure(&self) -> HandshakeFailure {
        match self.code {
            ErrorCode::Handshake(failure) => failure,
            // Never returned for a handshake.
            ErrorCode::Plain(_) => HandshakeFailure::BadRequest,
        }
    }

    /// The code as it is sent.
    pub fn code(&self) -> &'static str {
        match self.code {
            ErrorCode::Handshake(failure) => failure.label(),
            ErrorCode::Plain(code) => code,
        }
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, HandshakeFailure::BadRequest, message)
    }

    pub fn token_in_query() -> Self {
        let message = "don't send a token in the URL, which gets logged: send Authorization: Bearer TOKEN, or from a \
                       browser the subprotocols aisopod.v1 and bearer.TOKEN";
        Self::new(StatusCode::BAD_REQUEST, HandshakeFailure::TokenInQuery, message)
    }

    pub fn ambiguous_credentials() -> Self {
        let message = "more than one credential: send one Authorization header or one bearer.TOKEN subprotocol";
        Self::new(StatusCode::BAD_REQUEST, HandshakeFailure::AmbiguousCredentials, message)
    }

    pub fn upgrade_required() -> Self {
        let message = "this is a WebSocket endpoint: send a GET request with Upgrade: websocket";
        Self::new(StatusCode::UPGRADE_REQUIRED, HandshakeFailure::UpgradeRequired, message)
    }

    pub fn version_not_supported() -> Self {
        let message = "unsupported WebSocket version; send Sec-WebSocket-Version: 13";
        Self::new(StatusCode::UPGRADE_REQUIRED, HandshakeFailure::VersionNotSupported, message)
            .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }

    pub fn unauthorized(scheme: &str) -> Self {
        // RFC 7617, section 2.1: clients then send names and passwords as UTF-8.
        let charset = if scheme == "Basic" { ", charset=\"UTF-8\"" } else { "" };
        let challenge = format!("{scheme} realm=\"aisopod-gateway\"{charset}");
        let challenge = HeaderValue::try_from(challenge).expect("a scheme is a plain word");
        let message = format!("missing or invalid credentials; send Authorization: {scheme}");
        Self::new(StatusCode::UNAUTHORIZED, HandshakeFailure::Unauthorized, message)
            .with_header(WWW_AUTHENTICATE, challenge)
    }

    pub fn origin_not_allowed() -> Self {
        let message = "pages of this origin may not connect; add it to handshake.allowed_origins to allow them";
        Self::new(StatusCode::FORBIDDEN, HandshakeFailure::OriginNotAllowed, message)
    }

    pub fn host_not_allowed() -> Self {
        let message = "while auth.mode is \"none\", the host in the URL must be an IP address or localhost";
        Self::new(StatusCode::FORBIDDEN, "host_not_allowed", message)
    }

    /// For a handshake whose presence key can't be reserved.
    pub fn unavailable(cause: Unavailable) -> Self {
        match cause {
            Unavailable::Taken => Self::new(
                StatusCode::CONFLICT,
                HandshakeFailure::PresenceTaken,
                "a client with this presence key is connected, and the presence policy of its role is reject",
            ),
            Unavailable::ReplaceLoop => Self::new(
                StatusCode::CONFLICT,
                HandshakeFailure::ReplaceLoop,
                "clients with this presence key replace each other in a loop; the connected one stays",
            )
            .with_header(RETRY_AFTER, HeaderValue::from_static("60")),
        }
    }

    pub fn too_many_failures(wait: Duration) -> Self {
        let seconds = wait.as_secs();
        let message = format!("too many failed authentications from this address; try again in {seconds} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, HandshakeFailure::TooManyFailures, message)
            .with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// For a connection that exceeds a limit of its address.
    pub fn address_limit(exceeded: HandshakeFailure) -> Self {
        let message = match exceeded {
            HandshakeFailure::TooManyConnections => "too many connections from this address",
            _ => "too many new connections from this address; try again",
        };
        Self::new(StatusCode::TOO_MANY_REQUESTS, exceeded, message).with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    pub fn not_local() -> Self {
        let message = "while auth.mode is \"none\", only clients on this machine may connect, and this request has passed \
                       a proxy or comes from another machine: set auth.mode, or auth.allow_insecure; proxy.trusted \
                       names the proxies that pass on a client's address";
        Self::new(StatusCode::FORBIDDEN, HandshakeFailure::NotLocal, message)
    }

    pub fn invalid_proxy_header() -> Self {
        let message = "proxy.protocol is set, but the connection doesn't begin with a PROXY protocol header";
        Self::new(StatusCode::BAD_REQUEST, HandshakeFailure::InvalidProxyHeader, message)
    }

    pub fn body_too_large() -> Self {
        let message = "the body is larger than limits.max_message_bytes";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    }

    pub fn body_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body didn't arrive within handshake.timeout")
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is nothing at this path; {PATHS}"))
    }

    pub fn method_not_allowed(allow: &'static str) -> Self {
        let methods = match allow.rsplit_once(", ") {
            Some((others, last)) => format!("{others} or {last}"),
            None => allow.to_owned(),
        };
        let message = format!("this method isn't allowed here; use {methods}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, HandshakeFailure::MethodNotAllowed, message)
            .with_header(ALLOW, HeaderValue::from_static(allow))
    }

    pub fn full() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, HandshakeFailure::Full, "connection limit reached")
            .with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    pub fn draining() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, HandshakeFailure::Draining, "the gateway is shutting down")
            .with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    pub fn overloaded() -> Self {
        let message = "memory for clients is nearly exhausted; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message).with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    fn body(&self) -> String {
        let message = serde_json::Value::from(&*self.message);
        format!(r#"{{"error":{{"code":"{}","message":{message}}}}}"#, self.code())
    }

    pub fn into_response(self) -> Response<String> {
        let mut response = json(self.status, self.body());
        let headers = response.headers_mut();
        if self.status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110, sections 15.5.22 and 7.8; `with_close` adds `Upgrade` to `Connection`.
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }

    /// The complete response with `Connection: close`, for writing without hyper.
    pub fn to_http_text(&self) -> String {
        let mut response = self.clone().into_response();
        let body = std::mem::take(response.body_mut());
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let mut text = format!("HTTP/1.1 {}\r\n", self.status);
        for (name, value) in response.headers() {
            let _ = write!(text, "{}: {}\r\n", title_case(name.as_str()), value.to_str().unwrap_or_default());
        }
        text + "\r\n" + &body
    }
}

/// A header's name as hyper writes it: the first letter of each word is a capital.
fn title_case(name: &str) -> String {
    let words = name.split('-').map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::admin::routes::route;
    use hyper::Method;

    #[test]
    fn error_bodies_are_json_with_a_code_and_a_message() {
        for error in [HttpError::full(), HttpError::token_in_query(), HttpError::not_found()] {
            let body: serde_json::Value = serde_json::from_str(&error.body()).unwrap();
            assert_eq!(body["error"]["code"], error.code());
            assert!(body["error"]["message"].as_str().unwrap().len() > 10);
        }
    }

    fn message(error: &HttpError) -> String {
        let body: serde_json::Value = serde_json::from_str(&error.body()).unwrap();
        body["error"]["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn method_not_allowed_names_the_methods() {
        for (allow, expected) in [
            ("POST", "this method isn't allowed here; use POST"),
            ("GET, HEAD", "this method isn't allowed here; use GET or HEAD"),
            ("GET, HEAD, DELETE", "this method isn't allowed here; use GET, HEAD or DELETE"),
        ] {
            let error = HttpError::method_not_allowed(allow);
            assert_eq!(message(&error), expected);
            assert_eq!(error.into_response().headers()[ALLOW], allow);
        }
    }

    #[test]
    fn not_found_lists_paths_that_exist() {
        let message = message(&HttpError::not_found());
        let paths: Vec<&str> = message.split([' ', ',']).filter(|word| word.starts_with('/')).collect();
        let (plain, admin): (Vec<&str>, Vec<&str>) =
            paths.iter().partition(|path| ["/ws", "/healthz", "/readyz", "/status"].contains(path));
        assert_eq!((plain.len(), admin.len()), (4, 7), "{message}");
        for path in admin {
            let found = [Method::GET, Method::POST].iter().any(|method| route(method, path, "").is_ok());
            assert!(found, "{path}");
        }
    }

    #[test]
    fn unauthorized_names_the_scheme() {
        let error = HttpError::unauthorized("Basic");
        assert_eq!(message(&error), "missing or invalid credentials; send Authorization: Basic");
        let challenge = "Basic realm=\"aisopod-gateway\", charset=\"UTF-8\"";
        assert_eq!(error.into_response().headers()[WWW_AUTHENTICATE], challenge);
    }

    #[test]
    fn to_http_text_is_a_complete_response() {
        let text = HttpError::full().to_http_text();
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{text}");
        for header in
            ["Retry-After: 5", "Connection: close", "Cache-Control: no-store", "Content-Type: application/json"]
        {
            assert!(text.contains(&format!("\r\n{header}\r\n")), "{text}");
        }
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
    }
}
