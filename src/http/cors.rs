//! Requests from web pages of other origins: CORS, section 3.2 of the Fetch standard (<https://fetch.spec.whatwg.org>).

use super::error::HttpError;
use super::origin::is_listed;
use super::response::no_content;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, Response};

/// The request's `Origin`, if it is one of `allowed`.
pub fn allowed_origin(headers: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let is_allowed = origin.to_str().is_ok_and(|origin| is_listed(origin, allowed));
    // Copied: a clone would keep hyper's read buffer in memory.
    is_allowed.then(|| HeaderValue::from_bytes(origin.as_bytes()).ok())?
}

/// Lets a page of `origin` read a response.
pub fn allow_origin(response: &mut Response<String>, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After, WWW-Authenticate"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
}

/// Whether a browser asks if a page may send a request. It sends no credentials with this.
pub fn is_preflight(request: &Parts) -> bool {
    let headers = &request.headers;
    request.method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The response to a preflight request for a path with these methods.
///
/// # Errors
/// 403 if the page's origin isn't one of `allowed`.
pub fn preflight(request: &Parts, methods: &'static str, allowed: &[String]) -> Result<Response<String>, HttpError> {
    if allowed_origin(&request.headers, allowed).is_none() {
        return Err(HttpError::origin_not_allowed());
    }
    let mut response = no_content();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    Ok(response)
}
