//! WebSocket frames (RFC 6455, section 5). A server's frames are read from chunks of any size without copying payloads; a
//! client's frames are built once. Knows nothing of sockets.

use std::fmt;

/// Opcode of a text message.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary message.
pub const BINARY: u8 = 0x2;
/// Opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// Opcode of a pong.
pub const PONG: u8 = 0xA;

const CONTINUATION: u8 = 0x0;
const PING: u8 = 0x9;
const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// Longest payload of a control frame.
const MAX_CONTROL: usize = 125;
/// Longest header without a mask.
const MAX_HEADER: usize = 10;

/// The mask of every client frame: a server can't tell it from a random one.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a server must not send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Violation {
    /// A reserved bit or opcode.
    Reserved(u8),
    /// A masked frame.
    Masked,
    /// A length in more bytes than it needs, or beyond 63 bits.
    Length,
    /// A fragmented or oversized control frame.
    Control,
    /// A continuation without a message, or a new message inside another.
    Order,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Reserved(first) => write!(f, "a frame with reserved bits or opcode: {first:#04x}"),
            Violation::Masked => f.write_str("a masked frame"),
            Violation::Length => f.write_str("a frame with an invalid length"),
            Violation::Control => f.write_str("a fragmented or oversized control frame"),
            Violation::Order => f.write_str("fragments out of order"),
        }
    }
}

/// A part of a message, as it was received.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fragment<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// It is the first part of its message.
    pub is_first: bool,
    /// It is the last part of its message.
    pub is_last: bool,
    /// The message is text.
    pub is_text: bool,
}

/// What a chunk of the stream contains.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// A part of a message.
    Message(Fragment<'a>),
    /// A ping with this payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A close frame; without a code it is 1005.
    Close(u16, &'a [u8]),
}

/// The parser of one connection's frames. It keeps an incomplete header and an incomplete control frame, never message
/// bytes.
#[derive(Default)]
pub struct FrameReader {
    /// An incomplete header of `header_len` bytes.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// First byte of the current frame.
    first: u8,
    /// Payload bytes of the current frame that are still to come.
    remaining: u64,
    /// Opcode of the current message; 0 between messages.
    message: u8,
    /// A fragment of the current message was handed on.
    has_begun: bool,
    /// An incomplete control frame's payload.
    control: Vec<u8>,
}

impl FrameReader {
    /// Calls `sink` with what these bytes contain, in order.
    pub fn read<E: From<Violation>>(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.remaining == 0 && !self.read_header(&mut bytes)? {
                return Ok(());
            }
            let available = usize::try_from(self.remaining).map_or(bytes.len(), |length| length.min(bytes.len()));
            let (payload, rest) = bytes.split_at(available);
            bytes = rest;
            self.remaining -= available as u64;
            if is_control(self.first) {
                self.read_control(payload, &mut sink)?;
            } else {
                sink(self.fragment(payload))?;
            }
        }
        Ok(())
    }

    /// Reads a header; returns whether it is complete.
    fn read_header(&mut self, bytes: &mut &[u8]) -> Result<bool, Violation> {
        if self.header_len == 0
            && let Some((remaining, length)) = parse_header(bytes)?
        {
            self.first = bytes[0];
            *bytes = &bytes[length..];
            return self.start_frame(remaining);
        }
        while let Some((byte, rest)) = bytes.split_first() {
            self.header[usize::from(self.header_len)] = *byte;
            self.header_len += 1;
            *bytes = rest;
            if let Some((remaining, _)) = parse_header(&self.header[..usize::from(self.header_len)])? {
                self.header_len = 0;
                self.first = self.header[0];
                return self.start_frame(remaining);
            }
        }
        Ok(false)
    }

    fn start_frame(&mut self, remaining: u64) -> Result<bool, Violation> {
        self.remaining = remaining;
        match self.first & 0x0f {
            _ if is_control(self.first) => {
                if self.first & FINAL == 0 || remaining > MAX_CONTROL as u64 {
                    return Err(Violation::Control);
                }
            }
            CONTINUATION if self.message == 0 => return Err(Violation::Order),
            CONTINUATION => {}
            _ if self.message != 0 => return Err(Violation::Order),
            opcode => self.message = opcode,
        }
        Ok(true)
    }

    fn fragment<'a>(&mut self, bytes: &'a [u8]) -> Event<'a> {
        let is_last = self.remaining == 0 && self.first & FINAL != 0;
        let fragment = Fragment { bytes, is_first: !self.has_begun, is_last, is_text: self.message == TEXT };
        self.has_begun = !is_last;
        if is_last {
            self.message = 0;
        }
        Event::Message(fragment)
    }

    fn read_control<E>(&mut self, payload: &[u8], sink: &mut impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E>
    where
        E: From<Violation>,
    {
        if self.remaining == 0 && self.control.is_empty() {
            return sink(control_event(self.first, payload)?);
        }
        self.control.extend_from_slice(payload);
        if self.remaining > 0 {
            return Ok(());
        }
        let whole = std::mem::take(&mut self.control);
        sink(control_event(self.first, &whole)?)
    }
}

fn is_control(first: u8) -> bool {
    first & 0x08 != 0
}

fn control_event(first: u8, payload: &[u8]) -> Result<Event<'_>, Violation> {
    Ok(match (first & 0x0f, payload) {
        (PING, _) => Event::Ping(payload),
        (PONG, _) => Event::Pong,
        (_, []) => Event::Close(1005, &[]),
        (_, [high, low, reason @ ..]) => Event::Close(u16::from_be_bytes([*high, *low]), reason),
        (_, [_]) => return Err(Violation::Control),
    })
}

/// Returns the payload's and the header's length, once the header is complete. A violation is returned as soon as it shows.
fn parse_header(bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = first & 0x0f;
    if first & RESERVED != 0 || !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(Violation::Reserved(*first));
    }
    if second & MASKED != 0 {
        return Err(Violation::Masked);
    }
    match (second, rest) {
        (126, [high, low, ..]) => match u16::from_be_bytes([*high, *low]) {
            ..=125 => Err(Violation::Length),
            length => Ok(Some((length.into(), 4))),
        },
        (127, _) => match rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)) {
            None => Ok(None),
            Some(..=0xffff | 0x8000_0000_0000_0000..) => Err(Violation::Length),
            Some(length) => Ok(Some((length, 10))),
        },
        (126, _) => Ok(None),
        (length, _) => Ok(Some(((*length).into(), 2))),
    }
}

/// Builds a client's frame: a whole message, or a control frame.
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FINAL | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(MASKED | length as u8),
        length @ 126..=0xffff => {
            frame.push(MASKED | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(MASKED | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Builds a client's pong without an allocation: the frame and its length.
pub fn pong(payload: &[u8]) -> ([u8; 6 + MAX_CONTROL], usize) {
    let mut frame = [0; 6 + MAX_CONTROL];
    (frame[0], frame[1]) = (FINAL | PONG, MASKED | payload.len() as u8);
    frame[2..6].copy_from_slice(&MASK);
    for (index, byte) in payload.iter().enumerate() {
        frame[6 + index] = byte ^ MASK[index % 4];
    }
    (frame, 6 + payload.len())
}

#[cfg(test)]
mod tests;
