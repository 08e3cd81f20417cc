//! HTTP errors: a status, a code for programs, a message for people.

use super::response::json;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

/// When somebody who was refused for want of room may ask again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a request gets no success: a status, a word for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    message: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl HttpError {
    /// Every code that a handshake can fail with, and the end of a connection that never asked.
    pub(crate) const CODES: &'static [&'static str] = &[
        "bad_request",
        "token_in_query",
        "ambiguous_credentials",
        "method_not_allowed",
        "upgrade_required",
        "version_not_supported",
        "unauthorized",
        "origin_not_allowed",
        "presence_taken",
        "header_too_large",
        "full",
        "draining",
        "disconnected",
    ];
    pub(crate) const BAD_REQUEST: &'static str = "bad_request";
    pub(crate) const HEADER_TOO_LARGE: &'static str = "header_too_large";
    pub(crate) const FULL: &'static str = "full";
    pub(crate) const DRAINING: &'static str = "draining";
    pub(crate) const DISCONNECTED: &'static str = "disconnected";

    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        HttpError { status, code, message: message.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn token_in_query() -> Self {
        let message = "a token doesn't belong in the address, where it gets logged: send it as Authorization: Bearer, \
                       or from a browser as the subprotocol bearer.<token> beside aisopod.v1";
        Self::new(StatusCode::BAD_REQUEST, "token_in_query", message)
    }

    pub(crate) fn ambiguous_credentials() -> Self {
        let message = "more than one credential: send one Authorization header or one bearer.<token> subprotocol";
        Self::new(StatusCode::BAD_REQUEST, "ambiguous_credentials", message)
    }

    pub(crate) fn upgrade_required() -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", "this is a WebSocket endpoint")
            .with(UPGRADE, HeaderValue::from_static("websocket"))
    }

    pub(crate) fn version_not_supported() -> Self {
        let message = "the WebSocket version spoken here is 13";
        Self::new(StatusCode::UPGRADE_REQUIRED, "version_not_supported", message)
            .with(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }

    pub(crate) fn unauthorized(scheme: &str) -> Self {
        let challenge = format!("{scheme} realm=\"aisopod-gateway\"");
        let challenge = HeaderValue::try_from(challenge).expect("a scheme is a plain word");
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "no credential, or not a valid one")
            .with(WWW_AUTHENTICATE, challenge)
    }

    pub(crate) fn origin_not_allowed() -> Self {
        let message = "pages of this origin may not connect; handshake.allowed_origins lists those that may";
        Self::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
    }

    pub(crate) fn host_not_allowed() -> Self {
        let message = "without credentials the gateway is asked by its IP address or as localhost, by no other name";
        Self::new(StatusCode::FORBIDDEN, "host_not_allowed", message)
    }

    pub(crate) fn presence_taken() -> Self {
        let message = "there is a connection with the same presence key, and its role may have one only";
        Self::new(StatusCode::CONFLICT, "presence_taken", message)
    }

    pub(crate) fn too_many_failures(wait: Duration) -> Self {
        let message = "too many failed authentications from this address";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", message)
            .with(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1))
    }

    pub(crate) fn body_too_large() -> Self {
        let message = "the body is larger than limits.max_message_bytes";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    }

    pub(crate) fn body_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body wasn't there within handshake.timeout")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
    }

    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let message = "the header Allow lists the methods that are allowed here";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
            .with(ALLOW, HeaderValue::from_static(allow))
    }

    pub(crate) fn full() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Self::FULL, "as many connections as the gateway takes")
            .with(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    pub(crate) fn draining() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Self::DRAINING, "the gateway is starting or shutting down")
            .with(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    fn body(&self) -> String {
        let message = serde_json::Value::from(&*self.message);
        format!(r#"{{"error":{{"code":"{}","message":{message}}}}}"#, self.code)
    }

    pub(crate) fn into_response(self) -> Response<String> {
        let mut response = json(self.status, self.body());
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// The whole response as bytes, for where no hyper is there to write it. The connection closes behind it.
    pub(crate) fn to_bytes(&self) -> String {
        let mut response = self.clone().into_response();
        let body = std::mem::take(response.body_mut());
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let mut text = format!("HTTP/1.1 {}\r\n", self.status);
        for (name, value) in response.headers() {
            let _ = write!(text, "{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
        text + "\r\n" + &body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json() {
        for error in [
            HttpError::full(),
            HttpError::token_in_query(),
            HttpError::not_found(),
            HttpError::from_parse_error(b"431"),
        ] {
            let body: serde_json::Value = serde_json::from_str(&error.body()).unwrap();
            assert_eq!(body["error"]["code"], error.code);
            assert!(body["error"]["message"].as_str().unwrap().len() > 10);
        }
    }

    #[test]
    fn a_raw_response_is_whole() {
        let text = HttpError::full().to_bytes();
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{text}");
        for header in
            ["retry-after: 5", "connection: close", "cache-control: no-store", "content-type: application/json"]
        {
            assert!(text.contains(&format!("\r\n{header}\r\n")), "{text}");
        }
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
    }
}
