//! WebSocket frames (RFC 6455, section 5) without a WebSocket library: for clients that must be cheaper than the server
//! they load, and for bytes that no library sends.
//!
//! [`client_frame`] and [`server_frame`] write frames. [`parse_server_frame`] and [`parse_client_frame`] read one whole frame
//! from a buffer.

use std::fmt;

/// Opcode of a frame that continues a fragmented message.
pub const CONTINUATION: u8 = 0x0;
/// Opcode of a text message.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary message.
pub const BINARY: u8 = 0x2;
/// Opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// Opcode of a ping.
pub const PING: u8 = 0x9;
/// Opcode of a pong.
pub const PONG: u8 = 0xA;
/// Bit of the first byte: the last frame of a message.
pub const FIN: u8 = 0x80;
/// Bit of the second byte: the payload is masked. Required of clients, forbidden to servers.
pub const MASKED: u8 = 0x80;
/// Bits of the first byte that are reserved for extensions.
const RESERVED: u8 = 0x70;

/// The longest payload of a control frame.
const MAX_CONTROL_PAYLOAD: usize = 125;
/// The longest header without a masking key: two bytes and a length of eight bytes.
pub const MAX_HEADER: usize = 10;
/// The masking key of every client frame. RFC 6455 wants a random one, but a server can't tell.
pub const MASKING_KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Why a frame or a sequence of frames is invalid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Violation {
    /// A reserved bit is set, or the opcode is unknown. The value is the first byte.
    Reserved(u8),
    /// A server's frame is masked.
    Masked,
    /// A client's frame isn't masked.
    Unmasked,
    /// The length isn't in the shortest form, or needs more than 63 bits.
    Length,
    /// A control frame is fragmented or has more than 125 bytes of payload.
    Control,
    /// A fragment, where each message must be one frame.
    Order,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Reserved(first) => write!(f, "reserved bits or opcode in a frame: {first:#04x}"),
            Violation::Masked => f.write_str("masked frame from a server"),
            Violation::Unmasked => f.write_str("unmasked frame from a client"),
            Violation::Length => f.write_str("frame length isn't encoded as RFC 6455 requires"),
            Violation::Control => f.write_str("control frame is fragmented or too long"),
            Violation::Order => f.write_str("fragment of a message instead of a whole one"),
        }
    }
}

impl std::error::Error for Violation {}

/// One whole frame at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    /// The first byte: [`FIN`] and the opcode.
    pub first: u8,
    /// The payload, unmasked.
    pub payload: &'a [u8],
    /// The frame's length with its header.
    pub len: usize,
}

/// The header of a frame, without the masking key.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Header {
    payload: u64,
    len: usize,
    masked: bool,
}

impl Header {
    /// Parses the header at the start of `bytes`; `None` while it is incomplete. An invalid header fails before its
    /// payload has arrived.
    fn parse(bytes: &[u8]) -> Result<Option<Header>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & RESERVED != 0 || !matches!(first & 0x0f, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(Violation::Reserved(*first));
        }
        let (payload, len) = match second & !MASKED {
            126 => match rest.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)) {
                None => return Ok(None),
                Some(..=125) => return Err(Violation::Length),
                Some(length) => (length.into(), 4),
            },
            127 => match rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)) {
                None => return Ok(None),
                Some(..=0xffff | 0x8000_0000_0000_0000..) => return Err(Violation::Length),
                Some(length) => (length, MAX_HEADER),
            },
            length => (length.into(), 2),
        };
        if is_control(*first) && (first & FIN == 0 || payload > MAX_CONTROL_PAYLOAD as u64) {
            return Err(Violation::Control);
        }
        Ok(Some(Header { payload, len, masked: second & MASKED != 0 }))
    }

    /// The same for a frame of a server, which must not be masked.
    fn parse_server(bytes: &[u8]) -> Result<Option<Header>, Violation> {
        if let [_, second, ..] = bytes
            && second & MASKED != 0
        {
            return Err(Violation::Masked);
        }
        Header::parse(bytes)
    }

    /// The payload's position in a buffer that starts with this header and a masking key of `mask` bytes; `None` while
    /// the payload is incomplete.
    fn payload_range(&self, mask: usize, buffered: usize) -> Option<std::ops::Range<usize>> {
        let start = self.len + mask;
        let end = start.checked_add(usize::try_from(self.payload).ok()?)?;
        (end <= buffered).then_some(start..end)
    }
}

fn is_control(first: u8) -> bool {
    first & 0x08 != 0
}

/// Encodes a header without the masking key, with the length in its shortest form. `mask_bit` is [`MASKED`] or 0.
/// Returns an array and how many of its bytes are used.
pub fn encode_header(first: u8, mask_bit: u8, payload: u64) -> ([u8; MAX_HEADER], usize) {
    let mut header = [0; MAX_HEADER];
    header[0] = first;
    let len = match payload {
        0..=125 => {
            header[1] = mask_bit | payload as u8;
            2
        }
        126..=0xffff => {
            header[1] = mask_bit | 126;
            header[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = mask_bit | 127;
            header[2..].copy_from_slice(&payload.to_be_bytes());
            MAX_HEADER
        }
    };
    (header, len)
}

/// A client's frame, masked with [`MASKING_KEY`]. `first` is [`FIN`] and the opcode.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let (header, len) = encode_header(first, MASKED, payload.len() as u64);
    let mut frame = Vec::with_capacity(len + MASKING_KEY.len() + payload.len());
    frame.extend_from_slice(&header[..len]);
    frame.extend(MASKING_KEY);
    frame.extend(payload.iter().zip(MASKING_KEY.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A server's frame. `first` is [`FIN`] and the opcode.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(MAX_HEADER + payload.len());
    append_server_frame(&mut frame, first, payload);
    frame
}

/// Appends a server's frame to `output`.
pub fn append_server_frame(output: &mut Vec<u8>, first: u8, payload: &[u8]) {
    let (header, len) = encode_header(first, 0, payload.len() as u64);
    output.extend_from_slice(&header[..len]);
    output.extend_from_slice(payload);
}

/// XORs a payload with the masking key, in place: masking and unmasking are the same operation.
pub fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The first frame of a buffer that a server has sent; `None` while it is incomplete.
pub fn parse_server_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Violation> {
    let Some(header) = Header::parse_server(bytes)? else { return Ok(None) };
    let range = header.payload_range(0, bytes.len());
    Ok(range.map(|range| Frame { first: bytes[0], len: range.end, payload: &bytes[range] }))
}

/// The first frame of a buffer that a client has sent, whose payload is unmasked in place; `None` while it is
/// incomplete. A frame must be parsed only once.
pub fn parse_client_frame(bytes: &mut [u8]) -> Result<Option<Frame<'_>>, Violation> {
    let Some(header) = Header::parse(bytes)? else { return Ok(None) };
    if !header.masked {
        return Err(Violation::Unmasked);
    }
    let Some(range) = header.payload_range(MASKING_KEY.len(), bytes.len()) else { return Ok(None) };
    let mask = *bytes[header.len..].first_chunk().expect("the mask precedes the payload");
    apply_mask(&mut bytes[range.clone()], mask);
    Ok(Some(Frame { first: bytes[0], len: range.end, payload: &bytes[range] }))
}

#[cfg(test)]
mod tests;
