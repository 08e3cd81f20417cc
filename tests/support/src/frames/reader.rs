//! An incremental parser of a server's messages.

use super::{CLOSE, CONTINUATION, FIN, Header, MAX_HEADER, PING, PONG, TEXT, Violation, is_control};

/// A part of a message, as far as it has arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chunk<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The number of bytes of the message that precede it.
    pub offset: u64,
    /// Whether the message ends with it.
    pub last: bool,
    /// Whether the message is text, not binary.
    pub text: bool,
}

/// What a [`FrameReader`] reports.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// Part of a message.
    Data(Chunk<'a>),
    /// A ping with this payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A close frame's code and reason. A frame without a code has 1005.
    Close(u16, &'a [u8]),
}

/// Reads a server's frames from the bytes of one connection, however they are split. It keeps incomplete headers and
/// control frames only; a message's bytes are reported as they arrive.
#[derive(Default)]
pub struct FrameReader {
    /// The first `header_len` bytes of an incomplete header.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// The first byte of the latest frame.
    first: u8,
    /// Whether part of the frame's payload is missing: `remaining` bytes.
    in_payload: bool,
    remaining: u64,
    /// The message's length so far.
    offset: u64,
    /// The message's opcode; 0 between messages.
    message: u8,
    /// The payload of an incomplete control frame.
    control: Vec<u8>,
}

impl FrameReader {
    /// Reports the events in `bytes` to `sink`, in order. After an error the connection is unusable.
    pub fn read<E: From<Violation>>(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if !self.in_payload && !self.take_header(&mut bytes)? {
                return Ok(());
            }
            let available = usize::try_from(self.remaining).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (payload, rest) = bytes.split_at(available);
            bytes = rest;
            self.remaining -= available as u64;
            self.in_payload = self.remaining > 0;
            if is_control(self.first) { self.control(payload, &mut sink)? } else { sink(self.data(payload))? }
        }
        Ok(())
    }

    /// Removes a header from the start of `bytes`; returns false if it is incomplete.
    fn take_header(&mut self, bytes: &mut &[u8]) -> Result<bool, Violation> {
        if self.header_len == 0
            && let Some(header) = Header::parse_server(bytes)?
        {
            let first = bytes[0];
            *bytes = &bytes[header.len..];
            self.start_frame(first, header.payload)?;
            return Ok(true);
        }
        while let Some((byte, rest)) = bytes.split_first() {
            self.header[usize::from(self.header_len)] = *byte;
            self.header_len += 1;
            *bytes = rest;
            if let Some(header) = Header::parse_server(&self.header[..usize::from(self.header_len)])? {
                self.header_len = 0;
                self.start_frame(self.header[0], header.payload)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn start_frame(&mut self, first: u8, payload: u64) -> Result<(), Violation> {
        (self.first, self.remaining) = (first, payload);
        if is_control(first) {
            return Ok(());
        }
        let opcode = first & 0x0f;
        if (opcode == CONTINUATION) != (self.message != 0) {
            return Err(Violation::Order);
        }
        if opcode != CONTINUATION {
            self.message = opcode;
        }
        Ok(())
    }

    fn data<'a>(&mut self, bytes: &'a [u8]) -> Event<'a> {
        let last = !self.in_payload && self.first & FIN != 0;
        let chunk = Chunk { bytes, offset: self.offset, last, text: self.message == TEXT };
        self.offset += bytes.len() as u64;
        if last {
            (self.offset, self.message) = (0, 0);
        }
        Event::Data(chunk)
    }

    fn control<E: From<Violation>>(
        &mut self,
        payload: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.in_payload && self.control.is_empty() {
            return sink(control_event(self.first, payload)?);
        }
        self.control.extend_from_slice(payload);
        if self.in_payload {
            return Ok(());
        }
        let payload = std::mem::take(&mut self.control);
        sink(control_event(self.first, &payload)?)
    }
}

fn control_event(first: u8, payload: &[u8]) -> Result<Event<'_>, Violation> {
    Ok(match (first & 0x0f, payload) {
        (PING, _) => Event::Ping(payload),
        (PONG, _) => Event::Pong,
        (CLOSE, []) => Event::Close(1005, &[]),
        (CLOSE, [high, low, reason @ ..]) => Event::Close(u16::from_be_bytes([*high, *low]), reason),
        _ => return Err(Violation::Control),
    })
}
