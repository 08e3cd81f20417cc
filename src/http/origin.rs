//! Which web pages may connect (RFC 6454, RFC 6455 section 10.2). Other programs send no `Origin` and pass.

use std::net::IpAddr;

/// Whether a page of `origin` may connect to `host` (the `Host` header).
///
/// The gateway's own host may, and what the configuration lists. Where anybody is let in (`open`), a page's own host
/// counts only as an IP address or `localhost`: any name can be made to point at this machine (DNS rebinding).
pub(crate) fn is_allowed(origin: &str, host: &str, allowed: &[String], open: bool) -> bool {
    let listed = allowed.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(origin));
    listed || (is_same_host(origin, host) && is_rebinding_safe(host, open))
}

/// Whether a request to this host (the `Host` header) can't be one that a page of a made-up name was tricked into: where
/// anybody is let in, a name is no credentials of where the page comes from.
pub(crate) fn is_rebinding_safe(host: &str, open: bool) -> bool {
    host.is_empty() || !(open && is_name(split_port(host).0))
}

fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" => "80",
        "https" => "443",
        _ => return false,
    };
    let (origin_name, origin_port) = split_port(authority);
    let (host_name, host_port) = split_port(host);
    origin_name.eq_ignore_ascii_case(host_name) && origin_port.unwrap_or(default) == host_port.unwrap_or(default)
}

/// Name and port; an IPv6 address stands in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

fn is_name(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    !host.eq_ignore_ascii_case("localhost") && bare.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_host_is_allowed_with_its_port() {
        for (origin, host, same) in [
            ("http://example.com", "example.com", true),
            ("https://example.com", "example.com", true),
            ("https://EXAMPLE.com", "example.com:443", true),
            ("http://example.com:8080", "example.com:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://[::1]", "[::1]", true),
            ("http://example.com", "example.com:8080", false),
            ("http://example.com:8080", "example.com", false),
            ("http://evil.com", "example.com", false),
            ("http://example.com.evil.com", "example.com", false),
            ("ftp://example.com", "example.com", false),
            ("null", "example.com", false),
            ("", "", false),
        ] {
            assert_eq!(is_allowed(origin, host, &[], false), same, "{origin} at {host}");
        }
    }

    #[test]
    fn a_list_adds_to_it() {
        let list = ["https://app.example.com".to_owned()];
        assert!(is_allowed("https://app.example.com", "gw.example.com", &list, false));
        assert!(!is_allowed("https://app.example.com:8443", "gw.example.com", &list, false));
        assert!(is_allowed("null", "gw.example.com", &["null".to_owned()], false));
        assert!(is_allowed("https://anything", "gw.example.com", &["*".to_owned()], true));
    }

    #[test]
    fn without_authentication_a_name_is_not_enough() {
        assert!(!is_allowed("http://evil.com:8080", "evil.com:8080", &[], true));
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"] {
            assert!(is_allowed(&format!("http://{host}"), host, &[], true), "{host}");
        }
    }
}
