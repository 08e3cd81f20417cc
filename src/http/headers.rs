//! Reading header values: comma-separated lists, and headers that may appear only once.

use super::error::HttpError;
use hyper::header::{HeaderMap, HeaderName};

/// The items of a comma-separated list, which may be split over several header lines (RFC 9110, section 5.6.1). Lines
/// that aren't visible ASCII are skipped.
pub fn list_items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim_ascii).filter(|item| !item.is_empty())
}

/// The value of a header that may appear only once; `None` if it is absent.
///
/// # Errors
/// 400 if it appears again, or isn't visible ASCII.
pub fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, HttpError> {
    let mut values = headers.get_all(&name).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HttpError::bad_request(format!("duplicate header {name}")));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(HttpError::bad_request(format!("the header {name} isn't visible ASCII"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HOST, HeaderValue, UPGRADE};

    #[test]
    fn duplicate_or_unreadable_header_is_named() {
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, HOST), Ok(None));
        headers.append(HOST, HeaderValue::from_static("a"));
        assert_eq!(single(&headers, HOST), Ok(Some("a")));
        headers.append(HOST, HeaderValue::from_static("a"));
        assert_eq!(single(&headers, HOST), Err(HttpError::bad_request("duplicate header host")));
        headers.append(UPGRADE, HeaderValue::from_bytes(b"\xe9").unwrap());
        assert_eq!(single(&headers, UPGRADE), Err(HttpError::bad_request("the header upgrade isn't visible ASCII")));
    }
}
