//! The address of a client behind proxies: `X-Forwarded-For`, and `Forwarded` (RFC 7239).
//!
//! Each proxy appends the address of its own peer. So the addresses are read from the right, as long as they are those of
//! trusted proxies: what is further to the left may be made up by the client.

use crate::config::{ForwardingHeader, ProxyConfig, split_port, unmapped};
use crate::network::RemoteAddr;
use hyper::header::{FORWARDED, HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether a proxy has added the address of its peer to a request, or the client pretends so.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED)
}

/// The address of the client that sent a request, which came from `peer`: the first one, from the right, that isn't a
/// trusted proxy. If a trusted proxy doesn't name its peer, the proxy's own address.
pub fn client_addr(headers: &HeaderMap, peer: RemoteAddr, proxy: &ProxyConfig) -> RemoteAddr {
    let name = match proxy.header {
        ForwardingHeader::XForwardedFor => X_FORWARDED_FOR,
        ForwardingHeader::Forwarded => FORWARDED,
    };
    let parse = |element| match proxy.header {
        ForwardingHeader::XForwardedFor => parse_node(element),
        ForwardingHeader::Forwarded => parse_element(element),
    };
    let mut elements = headers.get_all(name).iter().rev().flat_map(|line| SplitFromRight::new(line.as_bytes(), b','));
    let mut addr = peer;
    while proxy.trusted.contains(addr) {
        match elements.next().and_then(parse) {
            Some(hop) => addr = RemoteAddr::Tcp(unmapped(hop)),
            None => break,
        }
    }
    addr
}

/// The address in the parameter `for` of an element of `Forwarded`; `None` if it has none or several, or an identifier
/// that isn't an address.
fn parse_element(element: &[u8]) -> Option<SocketAddr> {
    let mut nodes = SplitFromRight::new(element, b';').filter_map(|parameter| {
        let equals = parameter.iter().position(|c| *c == b'=')?;
        parameter[..equals].trim_ascii().eq_ignore_ascii_case(b"for").then(|| &parameter[equals + 1..])
    });
    let node = nodes.next().filter(|_| nodes.next().is_none())?.trim_ascii();
    parse_node(node.strip_prefix(b"\"").and_then(|node| node.strip_suffix(b"\"")).unwrap_or(node))
}

/// Parses `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`, the first and the last also with a port; without one, or with one
/// that isn't a number, the port is 0.
fn parse_node(node: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(node).ok()?.trim_ascii();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((ip, 0).into());
    }
    let (host, port) = split_port(text);
    let ip = match host.strip_prefix('[') {
        Some(rest) => IpAddr::V6(rest.strip_suffix(']')?.parse().ok()?),
        None => IpAddr::V4(host.parse().ok()?),
    };
    Some((ip, port.and_then(|port| port.parse().ok()).unwrap_or(0)).into())
}

/// The parts of a header's value between separators outside of quoted strings, from the right. Read from there, a quote
/// that isn't closed on the left, where the client may have written, hides nothing.
struct SplitFromRight<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> SplitFromRight<'a> {
    fn new(value: &'a [u8], separator: u8) -> Self {
        SplitFromRight { rest: Some(value), separator }
    }
}

impl<'a> Iterator for SplitFromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut is_quoted = false;
        for (index, c) in rest.iter().enumerate().rev() {
            if *c == b'"' {
                // Within quotes, a backslash escapes a quote (RFC 9110, section 5.6.4).
                let backslashes = rest[..index].iter().rev().take_while(|c| **c == b'\\').count();
                let is_escaped = is_quoted && backslashes % 2 == 1;
                is_quoted = is_escaped || !is_quoted;
            } else if *c == self.separator && !is_quoted {
                self.rest = Some(&rest[..index]);
                return Some(&rest[index + 1..]);
            }
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use hyper::header::HeaderValue;

    /// The client's address if a request with these lines of the header comes from 10.0.0.1.
    fn client(header: ForwardingHeader, lines: &[&[u8]]) -> String {
        let mut proxy = Config::new(1000).proxy;
        assert!(proxy.trusted.insert("10.0.0.0/8"));
        proxy.header = header;
        let name = HeaderName::from_static(header.label());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_bytes(line).unwrap());
        }
        assert_eq!(is_forwarded(&headers), !lines.is_empty());
        let peer = RemoteAddr::Tcp(([10, 0, 0, 1], 5).into());
        assert_eq!(client_addr(&headers, RemoteAddr::Unix, &proxy), RemoteAddr::Unix, "an untrusted peer");
        client_addr(&headers, peer, &proxy).to_string()
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right_past_trusted_proxies() {
        for (lines, expected) in [
            (&[][..], "10.0.0.1:5"),
            (&[&b"192.0.2.1"[..]], "192.0.2.1"),
            (&[b"192.0.2.1:80"], "192.0.2.1:80"),
            (&[b"198.51.100.1, 192.0.2.1"], "192.0.2.1"),
            (&[b"198.51.100.1, 192.0.2.1 ,10.9.9.9,  10.8.8.8"], "192.0.2.1"),
            (&[b"198.51.100.1", b"192.0.2.1", b"10.9.9.9"], "192.0.2.1"),
            (&[b"10.9.9.9, 10.8.8.8"], "10.9.9.9"),
            (&[b"2001:db8::1"], "2001:db8::1"),
            (&[b"[2001:db8::1]:443"], "[2001:db8::1]:443"),
            (&[b"::ffff:192.0.2.1"], "192.0.2.1"),
            // The client's own bytes don't hide its address.
            (&[b"\xff\xff, 192.0.2.1"], "192.0.2.1"),
            (&[b"\", 192.0.2.1"], "192.0.2.1"),
            (&[b"127.0.0.1, 192.0.2.1"], "192.0.2.1"),
            // A proxy that doesn't know its peer.
            (&[b"192.0.2.1, unknown"], "10.0.0.1:5"),
            (&[b"192.0.2.1, "], "10.0.0.1:5"),
            (&[b"192.0.2.1, unknown, 10.9.9.9"], "10.9.9.9"),
        ] {
            assert_eq!(client(ForwardingHeader::XForwardedFor, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_from_the_right_past_trusted_proxies() {
        for (line, expected) in [
            (&b"for=192.0.2.1"[..], "192.0.2.1"),
            (b"For=\"192.0.2.1:4711\";proto=https", "192.0.2.1:4711"),
            (b"by=10.0.0.1; FOR = \"[2001:db8::1]:443\"", "[2001:db8::1]:443"),
            (b"for=\"[2001:db8::1]:_port\"", "2001:db8::1"),
            (b"for=198.51.100.1, for=192.0.2.1, for=10.3.3.3;host=\"a;b\"", "192.0.2.1"),
            // Quotes and separators of the client.
            (b"for=192.0.2.1;host=\"x, for=198.51.100.1\"", "192.0.2.1"),
            (b"for=192.0.2.1;host=\"x\\\", for=198.51.100.1\"", "192.0.2.1"),
            (b"for=192.0.2.1;host=\"x;for=198.51.100.1\"", "192.0.2.1"),
            (b"\"for=198.51.100.1, for=192.0.2.1", "192.0.2.1"),
            (b"for=192.0.2.1;for=198.51.100.1", "10.0.0.1:5"),
            (b"for=unknown", "10.0.0.1:5"),
            (b"for=_hidden", "10.0.0.1:5"),
            (b"proto=https", "10.0.0.1:5"),
            (b"192.0.2.1", "10.0.0.1:5"),
        ] {
            let text = String::from_utf8_lossy(line);
            assert_eq!(client(ForwardingHeader::Forwarded, &[line]), expected, "{text}");
        }
    }
}
