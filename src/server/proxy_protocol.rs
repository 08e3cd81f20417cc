//! The PROXY protocol, versions 1 and 2: a header with the client's address at the start of a proxy's connection.

use crate::config::unmapped;
use crate::network::RemoteAddr;
use crate::ws::Stream;
use proxy_header::{Error, ParseConfig, ProxyHeader};
use std::task::{Context, Poll, ready};

/// Maximum bytes that are read to find the end of a header: more than any proxy sends.
const MAX_BYTES: usize = 4096;

/// A connection doesn't begin with a valid header.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidHeader;

/// Reads bytes into `received` until it has the whole header. Returns the address that the header names, and leaves the
/// bytes after it in `received`. `None` if the header names no address, because the proxy itself opened the connection.
pub fn poll_header(
    cx: &mut Context<'_>,
    stream: &Stream,
    received: &mut Vec<u8>,
) -> Poll<Result<Option<RemoteAddr>, InvalidHeader>> {
    loop {
        if let Some(header) = parse(received)? {
            received.drain(..header.len);
            return Poll::Ready(Ok(header.client));
        }
        let mut buffer = [0; 512];
        let max = (MAX_BYTES - received.len()).min(buffer.len());
        match ready!(stream.poll_read_once(cx, &mut buffer[..max], false)) {
            Ok(0) | Err(_) => return Poll::Ready(Err(InvalidHeader)),
            Ok(length) => received.extend_from_slice(&buffer[..length]),
        }
    }
}

/// A complete header.
pub struct Header {
    /// The address that it names.
    pub client: Option<RemoteAddr>,
    /// Its length in bytes.
    pub len: usize,
}

/// Parses the header at the start of `bytes`; `None` if it is incomplete.
///
/// # Errors
/// The bytes don't begin with a header, or it is longer than 4 KiB.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, InvalidHeader> {
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, len)) => {
            let client = header.proxied_address().map(|addr| RemoteAddr::Tcp(unmapped(addr.source)));
            Ok(Some(Header { client, len }))
        }
        Err(Error::BufferTooShort) if bytes.len() < MAX_BYTES => Ok(None),
        Err(_) => Err(InvalidHeader),
    }
}

/// Whether bytes begin like a header.
pub fn is_header(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PROXY ") || bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_of_either_version_names_the_client_or_nobody() {
        let v2 = |rest: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", rest].concat();
        for (header, client) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n".to_vec(), Some("192.0.2.1:4711")),
            (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(), Some("[2001:db8::1]:4711")),
            (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n".to_vec(), Some("192.0.2.1:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(b"\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\x12\x67\0\x50"), Some("192.0.2.1:4711")),
            // With a TLV of 4 bytes.
            (v2(b"\x21\x11\0\x10\xc0\0\x02\x01\x0a\0\0\x01\x12\x67\0\x50\x04\0\x01\0"), Some("192.0.2.1:4711")),
            (v2(b"\x20\0\0\0"), None),
        ] {
            for end in 0..header.len() {
                assert!(parse(&header[..end]).unwrap().is_none(), "{end} of {header:?}");
            }
            let parsed = parse(&[&header[..], b"GET / HTTP/1.1"].concat()).unwrap().unwrap();
            assert_eq!(parsed.len, header.len());
            assert_eq!(parsed.client.map(|addr| addr.to_string()).as_deref(), client);
            assert!(is_header(&header));
        }
        let too_large = v2(&[&b"\x21\x11\xff\xff"[..], &[0; MAX_BYTES]].concat());
        for invalid in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP5 a b c d\r\n", &[b'P'; 107], &too_large] {
            assert!(parse(invalid).is_err(), "{invalid:?}");
        }
    }
}
