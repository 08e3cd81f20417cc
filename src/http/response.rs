//! HTTP responses with JSON bodies.

use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

/// A response that is never cached, with a JSON body and a final newline for terminals.
pub fn json(status: StatusCode, mut body: String) -> Response<String> {
    body.push('\n');
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Browsers don't guess another type from the body, which may have text of clients.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Adds `Connection: close`, for the last response on a connection; if the response has the header `Upgrade`, names that
/// too (RFC 9110, section 7.8).
pub fn with_close(mut response: Response<String>) -> Response<String> {
    let headers = response.headers_mut();
    let options = if headers.contains_key(UPGRADE) { "Upgrade, close" } else { "close" };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
    response
}
