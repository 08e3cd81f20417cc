//! A WebSocket client that sends and receives single frames, for what no WebSocket library sends.

use super::http::{GET_WS, handshake_request};
use super::{Gateway, TIMEOUT};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use test_support::frames::{CLOSE, FIN, PING, parse_server_frame};

/// A connection after the handshake. It answers nothing on its own, not even pings.
pub struct RawClient {
    pub stream: TcpStream,
    /// Received bytes that aren't parsed yet.
    buffer: Vec<u8>,
}

impl RawClient {
    pub fn connect(gateway: &Gateway) -> RawClient {
        Self::upgrade(gateway.tcp(), "")
    }

    /// Sends the handshake on a connected stream, with this header as well unless it is empty.
    pub fn upgrade(mut stream: TcpStream, header: &str) -> RawClient {
        let request = handshake_request(GET_WS, "", header);
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        Self::read_101(stream)
    }

    /// Reads the response to a handshake.
    pub fn read_101(mut stream: TcpStream) -> RawClient {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a complete response");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self::opened(stream)
    }

    /// A client whose 101 has been read.
    pub fn opened(stream: TcpStream) -> RawClient {
        RawClient { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("an open connection");
    }

    /// The first byte and the payload of the next frame that isn't a ping; `None` at the end of the stream or a reset.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let frame = self.receive_any()?;
            if frame.0 != FIN | PING {
                return Some(frame);
            }
        }
    }

    /// The first byte and the payload of the next frame; `None` at the end of the stream or a reset.
    pub fn receive_any(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = parse_server_frame(&self.buffer).expect("a valid frame") {
                let (received, len) = ((frame.first, frame.payload.to_vec()), frame.len);
                self.buffer.drain(..len);
                return Some(received);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no frame within {TIMEOUT:?}"),
                Ok(0) | Err(_) => return None,
                Ok(length) => self.buffer.extend_from_slice(&chunk[..length]),
            }
        }
    }

    /// Reads to the end of the stream. Returns the close frame's code and reason, if there is one, and checks that no
    /// frame follows it.
    pub fn wait_for_close(&mut self) -> Option<(u16, String)> {
        let mut close = None;
        while let Some((first, payload)) = self.receive_any() {
            assert!(close.is_none(), "a frame after the close frame: {first:#x}");
            if first == FIN | CLOSE {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                close = Some((code, String::from_utf8(payload[2..].into()).unwrap()));
            }
        }
        close
    }
}
