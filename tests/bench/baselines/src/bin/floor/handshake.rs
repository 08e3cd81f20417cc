//! The opening handshake (RFC 6455, section 4.2), reduced to what a correct client needs.

use crate::{BUFFERS, readable};
use aisopod_baselines::PATH;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use tokio::net::TcpStream;

/// Longest request head.
const MAX_HEAD: usize = 8 * 1024;
/// RFC 6455, section 1.3.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Answers the request, and returns the bytes after it.
pub async fn accept_handshake(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let (response, rest) = loop {
        readable(stream).await?;
        // Reads into the thread's buffer, so that a silent client needs none of its own.
        let request = BUFFERS.with_borrow_mut(|buffers| read_request(stream, &mut head, &mut buffers.input))?;
        if let Some(request) = request {
            break request;
        }
    };
    let bad_request = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    poll_fn(|context| stream.poll_write_ready(context)).await?;
    let bytes = response.as_deref().unwrap_or(bad_request).as_bytes();
    if stream.try_write(bytes)? < bytes.len() || response.is_none() {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(rest)
}

/// Reads once. Once the request is complete, returns the 101 (`None` if it isn't a WebSocket handshake) and the bytes
/// after the request.
fn read_request(
    stream: &TcpStream,
    head: &mut Vec<u8>,
    input: &mut [u8],
) -> io::Result<Option<(Option<String>, Vec<u8>)>> {
    let length = match stream.try_read(input) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    head.extend_from_slice(&input[..length]);
    match head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        Some(start) => Ok(Some((response(&head[..start + 4]), head[start + 4..].to_vec()))),
        None if head.len() >= MAX_HEAD => Err(ErrorKind::InvalidData.into()),
        None => Ok(None),
    }
}

/// The 101 to a WebSocket request.
fn response(head: &[u8]) -> Option<String> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut request = lines.next()?.split(' ');
    if (request.next()?, request.next()?, request.next()?) != ("GET", PATH, "HTTP/1.1") {
        return None;
    }
    let key = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?;
    let digest = Sha1::new().chain_update(key.1.trim()).chain_update(KEY_SUFFIX).finalize();
    let accept = BASE64_STANDARD.encode(digest);
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}
