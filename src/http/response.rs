//! HTTP responses with JSON bodies.

use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// A response that is never cached, with a JSON body and a final newline for terminals.
pub fn json(status: StatusCode, mut body: String) -> Response<String> {
    body.push('\n');
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Adds `Connection: close`, for the last response on a connection.
pub fn with_close(mut response: Response<String>) -> Response<String> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
