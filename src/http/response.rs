//! HTTP responses with JSON bodies.

use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, UPGRADE, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

/// A response that is never cached, with a JSON body and a final newline for terminals.
pub fn json(status: StatusCode, mut body: String) -> Response<String> {
    body.push('\n');
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    add_common_headers(headers);
    response
}

/// A response without a body, which is never cached.
pub fn no_content() -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    add_common_headers(response.headers_mut());
    response
}

fn add_common_headers(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Browsers then don't guess another type from the body, which may have text of clients.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Adds `Connection: close`, for the last response on a connection; if the response has the header `Upgrade`, names that
/// too (RFC 9110, section 7.8).
pub fn with_close(mut response: Response<String>) -> Response<String> {
    let headers = response.headers_mut();
    let options = if headers.contains_key(UPGRADE) { "Upgrade, close" } else { "close" };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
    response
}
