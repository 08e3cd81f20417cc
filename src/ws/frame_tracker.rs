//! Finds the message boundaries in the bytes from a client (RFC 6455, section 5.2).
//!
//! Knows only lengths, FIN bits, which frames are control frames, and the code of a close frame; the codec validates the
//! frames.

/// The longest header: two bytes, eight of extended length, four of masking key.
pub const MAX_HEADER: usize = 14;

/// The first byte of a close frame: final, opcode 8.
const CLOSE: u8 = 0x88;
/// The bit of the second byte that is set in frames from clients, which are masked.
pub const MASKED: u8 = 0x80;
pub const MASK_BYTES: usize = 4;
/// The bit of the first byte that is set in the last frame of a message.
pub const FINAL: u8 = 0x80;
/// The bit of the first byte that is set in control frames.
const CONTROL: u8 = 0x08;

/// The position in a client's byte stream: which part of a frame the next byte belongs to.
#[derive(Debug, Default)]
pub struct FrameTracker {
    /// The header of the current frame. While it is incomplete, its first `header_len` bytes.
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// Bytes of the current frame's payload that are still to come.
    payload_left: u64,
    /// The last data frame was not final: more frames of its message follow.
    fragmented: bool,
    /// Payload bytes of the current message so far; 0 between messages.
    message_bytes: usize,
    /// The unmasked first bytes of a close frame's payload, and how many of the two have arrived.
    close_code: [u8; 2],
    close_code_len: usize,
}

impl FrameTracker {
    /// Moves over `bytes` up to the end of the current header. Returns the number of bytes moved over, and whether the
    /// header is complete.
    pub fn read_header(&mut self, bytes: &[u8]) -> (usize, bool) {
        if let (0, Some(header)) = (self.header_len, bytes.first_chunk()) {
            // Fast path: the whole header has arrived.
            self.header = *header;
            self.header_len = header_length(header);
            self.start_payload();
            return (header_length(header), true);
        }
        let mut taken = 0;
        while taken < bytes.len() {
            let n = (header_length(self.header()) - self.header_len).min(bytes.len() - taken);
            self.header[self.header_len..self.header_len + n].copy_from_slice(&bytes[taken..taken + n]);
            self.header_len += n;
            taken += n;
            if self.header_len == header_length(self.header()) {
                self.start_payload();
                return (taken, true);
            }
        }
        (taken, false)
    }

    /// Moves over a whole data frame, if `bytes` begins with one of at most `max_bytes` and the position is between two
    /// frames. Returns its length. May return `None` for a shorter frame than a header can be.
    pub fn read_data_frame(&mut self, bytes: &[u8], max_bytes: usize) -> Option<usize> {
        let header: &[u8; MAX_HEADER] = bytes.first_chunk().filter(|header| header[0] & CONTROL == 0)?;
        let payload = usize::try_from(payload_length(header)).ok()?;
        let length = header_length(header).checked_add(payload)?;
        if length > bytes.len().min(max_bytes) || !self.is_between_frames() {
            return None;
        }
        self.fragmented = header[0] & FINAL == 0;
        self.message_bytes = if self.fragmented { self.message_bytes + payload } else { 0 };
        Some(length)
    }

    fn start_payload(&mut self) {
        self.payload_left = payload_length(self.header());
        if self.is_data() {
            self.fragmented = self.header[0] & FINAL == 0;
        }
        if self.payload_left == 0 {
            self.end_frame();
        }
    }

    /// Moves over `bytes`, up to the end of the current frame's payload. Returns the number of bytes moved over.
    pub fn read_payload(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(usize::try_from(self.payload_left).unwrap_or(usize::MAX));
        if self.header[0] == CLOSE && self.header[1] & MASKED != 0 {
            self.read_close_code(&bytes[..n]);
        }
        self.payload_left -= n as u64;
        if self.is_data() {
            self.message_bytes += n;
        }
        if self.payload_left == 0 {
            self.end_frame();
        }
        n
    }

    fn end_frame(&mut self) {
        self.header_len = 0;
        if !self.fragmented {
            self.message_bytes = 0;
        }
    }

    /// The header of the current frame; a part of it while it is incomplete.
    fn header(&self) -> &[u8] {
        &self.header[..self.header_len]
    }

    /// The header that was completed last, in an array, and its length.
    pub fn last_header(&self) -> (&[u8; MAX_HEADER], usize) {
        (&self.header, header_length(&self.header))
    }

    /// Whether that header is one of a data frame.
    pub fn is_data(&self) -> bool {
        self.header[0] & CONTROL == 0
    }

    /// Bytes of the current frame's payload that are still to come.
    pub fn payload_left(&self) -> u64 {
        self.payload_left
    }

    /// Payload bytes of the current message so far; 0 between messages.
    pub fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// The code of the close frame that was read last (section 5.5.1); `None` if there was none, or it has no code.
    pub fn close_code(&self) -> Option<u16> {
        (self.close_code_len == 2).then(|| u16::from_be_bytes(self.close_code))
    }

    /// Reads the first two bytes of a masked close frame's payload.
    fn read_close_code(&mut self, payload: &[u8]) {
        let mask_at = header_length(&self.header) - MASK_BYTES;
        for byte in payload.iter().take(2 - self.close_code_len) {
            self.close_code[self.close_code_len] = byte ^ self.header[mask_at + self.close_code_len];
            self.close_code_len += 1;
        }
    }

    /// Whether the position is between two frames.
    pub fn is_between_frames(&self) -> bool {
        self.header_len == 0
    }

    /// Whether the position is after the last frame of a message.
    pub fn is_between_messages(&self) -> bool {
        self.header_len == 0 && !self.fragmented
    }

    /// Whether the position is between two frames of one message.
    pub fn is_between_fragments(&self) -> bool {
        self.header_len == 0 && self.fragmented
    }
}

/// The length of the header that begins with these bytes; a lower bound if there are fewer than two.
fn header_length(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 };
    let mask = if second & MASKED != 0 { MASK_BYTES } else { 0 };
    2 + mask
        + match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        }
}

/// The payload length that a complete header announces.
fn payload_length(header: &[u8]) -> u64 {
    let extended = |bytes: &[u8]| bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
    match header[1] & 0x7f {
        126 => extended(&header[2..4]),
        127 => extended(&header[2..10]),
        short => u64::from(short),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = match length {
            0..=125 => vec![first, 0x80 | length as u8],
            126..=0xffff => [&[first, 0x80 | 126][..], &(length as u16).to_be_bytes()].concat(),
            _ => [&[first, 0x80 | 127][..], &(length as u64).to_be_bytes()].concat(),
        };
        frame.resize(frame.len() + 4 + length, 0xff);
        frame
    }

    /// Moves over `bytes`, at most to the end of the current frame. Returns the number of bytes moved over.
    fn advance(frames: &mut FrameTracker, bytes: &[u8]) -> usize {
        if frames.payload_left() > 0 { frames.read_payload(bytes) } else { frames.read_header(bytes).0 }
    }

    /// Advances in chunks of `chunk` bytes; returns the offsets at which messages end.
    fn message_ends(frames: &mut FrameTracker, bytes: &[u8], chunk: usize) -> Vec<usize> {
        let (mut offset, mut ends) = (0, Vec::new());
        while offset < bytes.len() {
            offset += advance(frames, &bytes[offset..bytes.len().min(offset + chunk)]);
            if frames.is_between_messages() {
                ends.push(offset);
            }
        }
        ends
    }

    #[test]
    fn message_ends_are_found_with_any_chunk_size() {
        let frames = [
            (frame(0x81, 0), true),
            (frame(0x81, 125), true),
            (frame(0x01, 126), false),
            // A ping between the fragments of a message.
            (frame(0x89, 4), false),
            (frame(0x00, 0), false),
            (frame(0x80, 300), true),
            (frame(0x8a, 0), true),
            (frame(0x82, 70_000), true),
            // Unmasked frames, which the codec rejects.
            (vec![0x81, 0], true),
            (vec![0x81, 1, 0xff], true),
            ([&[0x82, 126, 1, 0][..], &[0xff; 256]].concat(), true),
        ];
        let mut expected = Vec::new();
        let mut bytes = Vec::new();
        for (frame, ends_message) in frames {
            bytes.extend(frame);
            if ends_message {
                expected.push(bytes.len());
            }
        }
        for chunk in [1, 2, 3, 7, 13, 14, 15, 256, 100_000] {
            assert_eq!(message_ends(&mut FrameTracker::default(), &bytes, chunk), expected, "in chunks of {chunk}");
        }
    }

    #[test]
    fn code_of_a_close_frame_is_unmasked_with_any_chunk_size() {
        let masked = [0x88, 0x84, 1, 2, 3, 4, 0x03 ^ 1, 0xf6 ^ 2, b'a' ^ 3, b'b' ^ 4];
        for chunk in 1..=masked.len() {
            let mut frames = FrameTracker::default();
            message_ends(&mut frames, &masked, chunk);
            assert_eq!(frames.close_code(), Some(1014), "in chunks of {chunk}");
        }
        for without_code in [&[0x88, 0x80, 1, 2, 3, 4][..], &[0x88, 0x81, 1, 2, 3, 4, 5], &[0x88, 2, 3, 0xf6]] {
            let mut frames = FrameTracker::default();
            message_ends(&mut frames, without_code, 2);
            assert_eq!(frames.close_code(), None, "{without_code:?}");
        }
    }

    #[test]
    fn arbitrary_bytes_and_huge_lengths_do_not_panic() {
        let mut frames = FrameTracker::default();
        for byte in (0..=255).cycle().take(10_000) {
            assert_eq!(advance(&mut frames, &[byte]), 1);
        }
        let mut huge = FrameTracker::default();
        let header = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(huge.read_header(&header), (header.len(), true));
        assert_eq!((huge.read_payload(&[1, 2]), huge.message_bytes()), (2, 2));
        assert!(!huge.is_between_messages());
    }
}
