//! Reading headers: lists, and those that may be there once.

use super::error::HttpError;
use hyper::header::{HeaderMap, HeaderName};

/// The members of a comma-separated list that may be spread over several lines (RFC 9110, section 5.6.1).
pub(crate) fn list_items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim_ascii).filter(|token| !token.is_empty())
}

/// The value of a header that may be there once.
pub(crate) fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, HttpError> {
    let mut values = headers.get_all(name).into_iter();
    let (first, second) = (values.next(), values.next());
    match (first, second) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(HttpError::bad_request("a header is not visible ASCII")),
        },
        (Some(_), Some(_)) => Err(HttpError::bad_request("a header is there twice that may be there once")),
    }
}
