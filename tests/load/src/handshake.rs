//! The opening handshake's bytes (RFC 6455, section 4), as a client sends and reads them.

use crate::args::Options;

/// The sample of RFC 6455, section 1.3: a load needs no nonce.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// More than any server answers with.
const LONGEST_HEAD: usize = 16 * 1024;

/// The request.
pub fn request(options: &Options) -> Vec<u8> {
    let Options { path, addr, .. } = options;
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    if let Some(token) = &options.token {
        request.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// What the server's answer says so far.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// Its head isn't all there.
    Unfinished,
    /// A right 101, whose head is so long; frames may follow.
    Upgraded(usize),
    /// Anything else: the status line, or what is wrong.
    Refused(String),
}

/// Reads the begin of the answer.
pub fn answer(bytes: &[u8]) -> Answer {
    let Some(length) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        if bytes.len() > LONGEST_HEAD {
            return Answer::Refused(format!("no end of the head within {LONGEST_HEAD} bytes"));
        }
        return Answer::Unfinished;
    };
    let head = &bytes[..length];
    let status = &head[..find(head, b"\r\n").unwrap_or(length)];
    if !status.starts_with(b"HTTP/1.1 101") {
        return Answer::Refused(String::from_utf8_lossy(status).into_owned());
    }
    if find(head, ACCEPT).is_none() {
        return Answer::Refused("a 101 without the right Sec-WebSocket-Accept".to_owned());
    }
    Answer::Upgraded(length)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn only_a_right_101_opens() {
        for end in 0..RIGHT.len() {
            assert_eq!(answer(&RIGHT.as_bytes()[..end]), Answer::Unfinished, "{end}");
        }
        assert_eq!(answer(RIGHT.as_bytes()), Answer::Upgraded(RIGHT.len()));
        assert_eq!(answer(format!("{RIGHT}\u{1}x").as_bytes()), Answer::Upgraded(RIGHT.len()));
        let refused = Answer::Refused("HTTP/1.1 401 Unauthorized".to_owned());
        assert_eq!(answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), refused);
        assert!(matches!(answer(RIGHT.replace("s3p", "S3p").as_bytes()), Answer::Refused(_)));
        assert!(matches!(answer(&[b'x'; LONGEST_HEAD + 1]), Answer::Refused(_)));
    }
}
