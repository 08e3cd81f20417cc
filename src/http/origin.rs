//! Origin checks: which web pages may connect (RFC 6454; RFC 6455, section 10.2).
//!
//! Programs other than browsers send no `Origin`, and aren't checked.

use crate::config::{default_port, parse_origin, split_port};
use std::net::IpAddr;

/// Whether a page of `origin` may connect to `host`, the request's host and port.
///
/// Pages of an `allowed` origin may connect, and pages of the same host and port if the host [is safe from DNS
/// rebinding](is_rebinding_safe). `anonymous` means that clients need no credentials.
pub fn is_allowed(origin: &str, host: &str, allowed: &[String], anonymous: bool) -> bool {
    is_listed(origin, allowed) || (is_same_host(origin, host) && is_rebinding_safe(host, anonymous))
}

/// Whether an entry of `allowed` has or matches this origin.
pub fn is_listed(origin: &str, allowed: &[String]) -> bool {
    let origin = parse_origin(origin);
    allowed.iter().any(|entry| entry == "*" || origin.as_ref().is_some_and(|origin| matches(entry, origin)))
}

/// Whether an entry is this origin, or has `*.` in place of its first labels.
fn matches(entry: &str, origin: &str) -> bool {
    let Some((scheme, domain)) = entry.split_once("*.") else { return entry == origin };
    let labels = origin.strip_prefix(scheme).and_then(|rest| rest.strip_suffix(domain));
    labels.is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
}

/// Whether `host` is safe from DNS rebinding: if clients are `anonymous`, only IP addresses and `localhost` are, since
/// an attacker can make any other name point to this machine. No browser sends a request without `Host` or with an
/// empty one.
pub fn is_rebinding_safe(host: &str, anonymous: bool) -> bool {
    host.is_empty() || !anonymous || !is_domain_name(split_port(host).0)
}

/// Whether `host` is the host of `origin`. Some clients send an origin with the scheme of the WebSocket.
fn is_same_host(origin: &str, host: &str) -> bool {
    let Some((scheme, _)) = origin.split_once("://") else { return false };
    let is_web = default_port(&scheme.to_ascii_lowercase()).is_some();
    is_web && parse_origin(origin).is_some_and(|origin| parse_origin(&format!("{scheme}://{host}")) == Some(origin))
}

fn is_domain_name(host: &str) -> bool {
    let addr = host.trim_start_matches('[').trim_end_matches(']').split('%').next().unwrap_or_default();
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
            ("ws://example.com:8080", "example.com:8080", true),
            ("WSS://example.com", "example.com:443", true),
            ("ws://example.com", "example.com:8080", false),
            ("file://", "", false),
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
        assert!(is_allowed("file://", "gw.example.com", &["file://".to_owned()], false));
        assert!(is_allowed("https://anything", "gw.example.com", &["*".to_owned()], true));
        assert!(is_allowed("https://APP.example.com:443", "gw.example.com", &list, false));
    }

    #[test]
    fn wildcard_stands_for_one_or_more_labels() {
        let list = ["https://*.example.com".to_owned()];
        for (origin, is_allowed) in [
            ("https://a.example.com", true),
            ("https://a.b.example.com", true),
            ("https://example.com", false),
            ("https://.example.com", false),
            ("https://aexample.com", false),
            ("https://a.example.com:8443", false),
            ("http://a.example.com", false),
            ("https://a.example.com.evil.com", false),
        ] {
            assert_eq!(is_listed(origin, &list), is_allowed, "{origin}");
        }
    }

    #[test]
    fn domain_name_is_not_safe_without_authentication() {
        assert!(!is_allowed("http://evil.com:8080", "evil.com:8080", &[], true));
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"] {
            assert!(is_allowed(&format!("http://{host}"), host, &[], true), "{host}");
        }
    }
}
