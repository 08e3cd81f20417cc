//! The host that a request is for (RFC 9112, section 3.2; RFC 9110, section 7.2).

use super::error::HttpError;
use super::headers::single;
use crate::config::split_port;
use hyper::Version;
use hyper::header::HOST;
use hyper::http::request::Parts;
use std::net::Ipv6Addr;

/// The host and port of a request: those of an absolute target, or else the header `Host`. Empty if `Host` is empty,
/// or for an HTTP/1.0 request without either.
///
/// # Errors
/// 400 if `Host` is missing in HTTP/1.1, or is repeated, or if it or the target's host is invalid.
pub fn host_of(request: &Parts) -> Result<&str, HttpError> {
    let header = match single(&request.headers, HOST)? {
        None if request.version == Version::HTTP_11 => return Err(HttpError::bad_request("Host is missing")),
        header => header.unwrap_or_default(),
    };
    let host = request.uri.authority().map_or(header, |authority| authority.as_str());
    if is_valid(header) && is_valid(host) {
        Ok(host)
    } else {
        Err(HttpError::bad_request("the host must be a name or an IP address, with or without a port"))
    }
}

/// Whether a text is `uri-host [ ":" port ]` (RFC 3986, section 3.2). Both may be empty.
fn is_valid(host: &str) -> bool {
    let (name, port) = split_port(host);
    let is_port = port.is_none_or(|port| {
        port.bytes().all(|c| c.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok())
    });
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_name = || name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&c));
    is_port && address.map_or_else(is_name, is_ipv6)
}

/// Whether a text is an IPv6 address. Some clients send its zone too, as in `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, ""));
    address.parse::<Ipv6Addr>().is_ok() && zone.bytes().all(|c| c.is_ascii_alphanumeric() || b"%-._~".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_a_name_or_an_address_with_or_without_a_port() {
        for valid in [
            "",
            "a",
            "a-b.example:80",
            "a:",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:8080",
            "[fe80::1%eth0]:80",
            "x_y",
            "%41",
        ] {
            assert!(is_valid(valid), "{valid}");
        }
        for invalid in [
            "a b",
            "a/b",
            "[::1",
            "::1",
            "x:99999",
            "x:-1",
            "x:y",
            "[1]",
            "[::1]x",
            "[::1%a b]",
            "u@h",
            "a?b",
            "a#b",
            "a\\b",
            "a:b:1",
        ] {
            assert!(!is_valid(invalid), "{invalid}");
        }
    }
}
