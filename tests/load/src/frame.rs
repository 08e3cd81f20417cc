//! WebSocket frames (RFC 6455, section 5): a server's are read as they come, in any pieces, without copying; a client's
//! are built once. Knows nothing of sockets.

use std::fmt;

/// A text message's opcode.
pub const TEXT: u8 = 0x1;
/// A close frame's opcode.
pub const CLOSE: u8 = 0x8;
/// A pong's opcode.
pub const PONG: u8 = 0xA;

const CONTINUATION: u8 = 0x0;
const BINARY: u8 = 0x2;
const PING: u8 = 0x9;
const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// The longest payload of a control frame.
pub const LONGEST_CONTROL: usize = 125;
/// Two bytes, eight of length; a server sends no mask.
const LONGEST_HEADER: usize = 10;

/// Every client frame's mask. A server can't tell it from a random one, and it costs nothing.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a server must not send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Violation {
    /// A reserved bit or opcode.
    Reserved(u8),
    /// A mask, which is a client's.
    Masked,
    /// A length in more bytes than it needs, or beyond 63 bits.
    Length,
    /// A control frame in fragments, or with more than 125 bytes.
    Control,
    /// A continuation of nothing, or a new message inside another.
    Order,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Reserved(first) => write!(f, "a frame with reserved bits or opcode: {first:#04x}"),
            Violation::Masked => f.write_str("a masked frame from a server"),
            Violation::Length => f.write_str("a frame whose length isn't written as RFC 6455 wants it"),
            Violation::Control => f.write_str("a control frame that is fragmented or too long"),
            Violation::Order => f.write_str("fragments out of order"),
        }
    }
}

/// A piece of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// How many bytes of the message came before.
    pub offset: u64,
    /// The message ends with it.
    pub last: bool,
    /// A text message, not a binary one.
    pub text: bool,
}

/// What a piece of the stream holds.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// A piece of a message.
    Data(Part<'a>),
    /// A ping with this payload.
    Ping(&'a [u8]),
    /// A pong; nobody here sends pings.
    Pong,
    /// A close frame; no code is 1005.
    Close(u16, &'a [u8]),
}

/// Where the stream of one connection stands. Only a split header and a split control frame are kept; the pieces of a
/// message are handed on as they come.
#[derive(Default)]
pub struct FrameReader {
    /// The begin of a header, `held` bytes of it.
    header: [u8; LONGEST_HEADER],
    held: u8,
    /// The latest frame's first byte.
    first: u8,
    /// Some of its payload is still to come: so much.
    inside: bool,
    left: u64,
    /// The message's length so far, and its opcode; 0 between messages.
    offset: u64,
    message: u8,
    /// The begin of a split control frame's payload.
    control: Vec<u8>,
}

impl FrameReader {
    /// Hands on what these bytes hold, in order.
    pub fn read<E: From<Violation>>(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if !self.inside && !self.take_header(&mut bytes)? {
                return Ok(());
            }
            let here = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (payload, rest) = bytes.split_at(here);
            bytes = rest;
            self.left -= here as u64;
            self.inside = self.left > 0;
            if is_control(self.first) { self.control(payload, &mut sink)? } else { sink(self.data(payload))? }
        }
        Ok(())
    }

    /// Takes a header off the bytes; false when it isn't all there yet.
    fn take_header(&mut self, bytes: &mut &[u8]) -> Result<bool, Violation> {
        if self.held == 0
            && let Some((left, length)) = header(bytes)?
        {
            self.first = bytes[0];
            *bytes = &bytes[length..];
            return self.begin(left);
        }
        while let Some((byte, rest)) = bytes.split_first() {
            self.header[usize::from(self.held)] = *byte;
            self.held += 1;
            *bytes = rest;
            if let Some((left, _)) = header(&self.header[..usize::from(self.held)])? {
                self.held = 0;
                self.first = self.header[0];
                return self.begin(left);
            }
        }
        Ok(false)
    }

    /// Begins a frame with so much payload.
    fn begin(&mut self, left: u64) -> Result<bool, Violation> {
        self.left = left;
        let opcode = self.first & 0x0f;
        match opcode {
            _ if is_control(self.first) => {
                if self.first & FINAL == 0 || left > LONGEST_CONTROL as u64 {
                    return Err(Violation::Control);
                }
            }
            CONTINUATION if self.message == 0 => return Err(Violation::Order),
            CONTINUATION => {}
            _ if self.message != 0 => return Err(Violation::Order),
            _ => self.message = opcode,
        }
        Ok(true)
    }

    fn data<'a>(&mut self, bytes: &'a [u8]) -> Event<'a> {
        let last = !self.inside && self.first & FINAL != 0;
        let part = Part { bytes, offset: self.offset, last, text: self.message == TEXT };
        self.offset += bytes.len() as u64;
        if last {
            (self.offset, self.message) = (0, 0);
        }
        Event::Data(part)
    }

    fn control<E>(&mut self, payload: &[u8], sink: &mut impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E>
    where
        E: From<Violation>,
    {
        if !self.inside && self.control.is_empty() {
            return sink(control_event(self.first, payload)?);
        }
        self.control.extend_from_slice(payload);
        if self.inside {
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

/// The payload's length and the header's, once all of the header is there. Says what is wrong as soon as it shows.
fn header(bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
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

/// A client's frame: one whole message, or a control frame.
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

/// A client's pong, without an allocation: the frame and its length.
pub fn pong(payload: &[u8]) -> ([u8; 6 + LONGEST_CONTROL], usize) {
    let mut frame = [0; 6 + LONGEST_CONTROL];
    (frame[0], frame[1]) = (FINAL | PONG, MASKED | payload.len() as u8);
    frame[2..6].copy_from_slice(&MASK);
    for (index, byte) in payload.iter().enumerate() {
        frame[6 + index] = byte ^ MASK[index % 4];
    }
    (frame, 6 + payload.len())
}

#[cfg(test)]
mod tests;
