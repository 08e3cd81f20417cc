//! The opening handshake (RFC 6455, section 4), as a client sends and reads it.

use crate::options::Options;

/// The sample key of RFC 6455, section 1.3, and its accept value: a load generator needs no nonce.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const MAX_HEAD: usize = 16 * 1024;

/// The request of a client with these options for this path.
pub fn request(options: &Options, path: &str) -> Vec<u8> {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n",
        options.addr
    );
    if let Some(token) = &options.token {
        request.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// The server's response, as far as it was received.
#[derive(Debug, PartialEq)]
pub enum Response {
    /// The head isn't complete.
    Incomplete,
    /// A correct 101, with the length of its head; frames may follow.
    Upgraded(usize),
    /// Any other response: its status line, or what is wrong.
    Refused(String),
}

/// Parses the beginning of the response.
pub fn response(bytes: &[u8]) -> Response {
    let Some(length) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        if bytes.len() > MAX_HEAD {
            return Response::Refused(format!("a head of more than {MAX_HEAD} bytes"));
        }
        return Response::Incomplete;
    };
    let head = &bytes[..length];
    let status = &head[..find(head, b"\r\n").unwrap_or(length)];
    if !status.starts_with(b"HTTP/1.1 101") {
        return Response::Refused(String::from_utf8_lossy(status).into_owned());
    }
    if find(head, ACCEPT).is_none() {
        return Response::Refused("a 101 without the right Sec-WebSocket-Accept".to_owned());
    }
    Response::Upgraded(length)
}

/// The position of `wanted` in `bytes`.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn only_a_correct_101_upgrades() {
        for end in 0..RIGHT.len() {
            assert_eq!(response(&RIGHT.as_bytes()[..end]), Response::Incomplete, "{end}");
        }
        assert_eq!(response(RIGHT.as_bytes()), Response::Upgraded(RIGHT.len()));
        assert_eq!(response(format!("{RIGHT}\u{1}x").as_bytes()), Response::Upgraded(RIGHT.len()));
        let refused = Response::Refused("HTTP/1.1 401 Unauthorized".to_owned());
        assert_eq!(response(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), refused);
        assert!(matches!(response(RIGHT.replace("s3p", "S3p").as_bytes()), Response::Refused(_)));
        assert!(matches!(response(&[b'x'; MAX_HEAD + 1]), Response::Refused(_)));
    }
}
