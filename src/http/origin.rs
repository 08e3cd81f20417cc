//! Origin checks: which web pages may connect (RFC 6454; RFC 6455, section 10.2).
//!
//! Programs other than browsers send no `Origin`, and aren't checked.

use std::net::IpAddr;

/// Whether a page of `origin` may connect to `host`, the value of the `Host` header.
///
/// Pages of an `allowed` origin may connect, and pages of the same host and port if the host [is safe from DNS
/// rebinding](is_rebinding_safe). `anonymous` means that clients need no credentials.
pub fn is_allowed(origin: &str, host: &str, allowed: &[String], anonymous: bool) -> bool {
    let listed = allowed.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(origin));
    listed || (is_same_host(origin, host) && is_rebinding_safe(host, anonymous))
}

/// Whether `host` is safe from DNS rebinding: if clients are `anonymous`, only IP addresses and `localhost` are, since
/// an attacker can make any other name point to this machine. An empty host is that of a request without `Host`, which
/// no browser sends.
pub fn is_rebinding_safe(host: &str, anonymous: bool) -> bool {
    host.is_empty() || !anonymous || !is_domain_name(split_port(host).0)
}

fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => "80",
        "https" => "443",
        _ => return false,
    };
    let (origin_name, origin_port) = split_port(authority);
    let (host_name, host_port) = split_port(host);
    origin_name.eq_ignore_ascii_case(host_name)
        && origin_port.unwrap_or(default_port) == host_port.unwrap_or(default_port)
}

/// Splits `NAME:PORT` or `NAME`; an IPv6 address keeps its brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

fn is_domain_name(host: &str) -> bool {
    let addr = host.trim_start_matches('[').trim_end_matches(']');
    !host.eq_ignore_ascii_case("localhost") && addr.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_of_the_same_host_and_port_is_allowed() {
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
    fn listed_origins_are_allowed_too() {
        let list = ["https://app.example.com".to_owned()];
        assert!(is_allowed("https://app.example.com", "gw.example.com", &list, false));
        assert!(!is_allowed("https://app.example.com:8443", "gw.example.com", &list, false));
        assert!(!is_allowed("http://app.example.com", "gw.example.com", &list, false));
        assert!(is_allowed("null", "gw.example.com", &["null".to_owned()], false));
        assert!(is_allowed("https://anything", "gw.example.com", &["*".to_owned()], true));
    }

    #[test]
    fn domain_name_is_not_safe_without_authentication() {
        assert!(!is_allowed("http://evil.com:8080", "evil.com:8080", &[], true));
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"] {
            assert!(is_allowed(&format!("http://{host}"), host, &[], true), "{host}");
        }
    }
}
