//! WebSocket frames by hand (RFC 6455, section 5.2), for what no well-behaved client sends.

use super::{Gateway, PATIENCE};
use std::io::{Read, Write};
use std::net::TcpStream;

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;
/// The first byte's bit of a message's last frame.
pub const FIN: u8 = 0x80;

/// A masked frame with this first byte, as a client must send it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = header(first, 0x80, payload.len() as u64);
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame's header up to the mask.
pub fn header(first: u8, mask_bit: u8, length: u64) -> Vec<u8> {
    match length {
        0..=125 => vec![first, mask_bit | length as u8],
        126..=0xffff => [&[first, mask_bit | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, mask_bit | 127][..], &length.to_be_bytes()].concat(),
    }
}

/// A TCP connection on which the handshake is done and nothing else.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn connect(gateway: &Gateway) -> Raw {
        Self::upgrade(gateway.tcp())
    }

    /// Does the handshake on a connected stream.
    pub fn upgrade(mut stream: TcpStream) -> Raw {
        let request = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a whole response");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Raw(stream)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("an open connection");
    }

    /// The next frame that is no ping of the heartbeat's: its first byte and its payload. `None` at the end of the stream.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let frame = self.frame()?;
            if frame.0 != FIN | PING {
                return Some(frame);
            }
        }
    }

    /// The next frame, whatever it is.
    pub fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut start = [0; 2];
        self.0.read_exact(&mut start).ok()?;
        assert_eq!(start[1] & 0x80, 0, "a server's frames are not masked");
        let length = match start[1] {
            126 => u64::from(u16::from_be_bytes(self.exactly())),
            127 => u64::from_be_bytes(self.exactly()),
            length => length.into(),
        };
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some((start[0], payload))
    }

    fn exactly<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).expect("a whole header");
        bytes
    }

    /// Reads to the end: the close frame's code and reason if there is one, and whether it was the last.
    pub fn closed(&mut self) -> Option<(u16, String)> {
        let mut close = None;
        while let Some((first, payload)) = self.frame() {
            assert!(close.is_none(), "a frame behind the close frame: {first:#x}");
            if first == FIN | CLOSE {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                close = Some((code, String::from_utf8(payload[2..].into()).unwrap()));
            }
        }
        close
    }
}
