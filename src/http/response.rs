//! HTTP responses with JSON bodies, never cached.

use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// An answer with a JSON body, and a line's end behind it for people.
pub(crate) fn json(status: StatusCode, mut body: String) -> Response<String> {
    body.push('\n');
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The last answer on its connection.
pub(crate) fn with_close(mut response: Response<String>) -> Response<String> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
