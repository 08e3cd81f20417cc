//! Bytes that violate RFC 6455 on an open WebSocket, each of which ends the connection.

use test_support::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, MASKED, MASKING_KEY, MAX_HEADER, PING, PONG, TEXT, client_frame, encode_header,
    server_frame,
};

/// Close codes that must not be sent, and some that may.
const CODES: [u16; 12] = [0, 999, 1000, 1001, 1004, 1005, 1006, 1015, 2999, 3000, 5000, 65535];

/// All of them.
pub fn all() -> Vec<Vec<u8>> {
    let text = client_frame(FIN | TEXT, b"{}");
    let mut all = vec![
        server_frame(FIN | TEXT, b"{}"),
        client_frame(FIN | BINARY, b"binary"),
        client_frame(FIN | 0x3, b""),
        client_frame(FIN | 0xb, b""),
        client_frame(FIN | CONTINUATION, b"without a beginning"),
        [client_frame(TEXT, b"{"), text.clone()].concat(),
        client_frame(PING, b"fragment"),
        client_frame(FIN | PING, &[b'x'; 126]),
        client_frame(FIN | PONG, &[b'x'; 70_000]),
        client_frame(FIN | CLOSE, &[b'x'; 126]),
        client_frame(FIN | CLOSE, b""),
        client_frame(FIN | CLOSE, b"1"),
        client_frame(FIN | CLOSE, b"\x03\xe8invalid \xff"),
        [client_frame(FIN | CLOSE, b"\x03\xe8"), text.repeat(1000)].concat(),
        b"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        vec![FIN | TEXT, MASKED | 126, 0, 5, 0, 0, 0, 0, 0, 0],
    ];
    all.extend([0x40, 0x20, 0x10].map(|reserved| client_frame(FIN | reserved | TEXT, b"{}")));
    all.extend(CODES.map(|code| client_frame(FIN | CLOSE, &code.to_be_bytes())));
    all.extend(INVALID_UTF8.map(|payload| client_frame(FIN | TEXT, payload)));
    all.extend([1 << 20, (1 << 20) + 1, 1 << 32, 1 << 62, 1 << 63, u64::MAX].map(claim));
    all
}

/// Texts that aren't UTF-8: cut, overlong, a surrogate, too high.
const INVALID_UTF8: [&[u8]; 5] = [b"\"\xe2\x82", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff"];

/// A header that claims this length, and a few bytes of payload.
fn claim(length: u64) -> Vec<u8> {
    let (header, used) = encode_header(FIN | TEXT, MASKED, length.max(0x1_0000));
    debug_assert_eq!(used, MAX_HEADER);
    [&header[..used], &MASKING_KEY, b"payload"].concat()
}
