//! Where one message ends and the next begins in the bytes from a client (RFC 6455, section 5.2).
//!
//! Only lengths are read. What a frame means, and whether it is allowed, is the codec's to say.

/// First two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

/// Follows the bytes that are handed to the codec, frame by frame.
#[derive(Debug, Default)]
pub(crate) struct FrameTracker {
    /// The header so far.
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// What is still to come of the frame's payload.
    payload: u64,
    /// A message's last frame has not begun.
    fragmented: bool,
}

impl FrameTracker {
    /// How many of these next bytes to hand out: to the end of the frame at the most.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.payload == 0 && taken < bytes.len() {
            let n = (header_length(&self.header[..self.header_len]) - self.header_len).min(bytes.len() - taken);
            self.header[self.header_len..self.header_len + n].copy_from_slice(&bytes[taken..taken + n]);
            self.header_len += n;
            taken += n;
            let header = &self.header[..self.header_len];
            if self.header_len == header_length(header) {
                let (is_final, is_data) = (header[0] & 0x80 != 0, header[0] & 0x08 == 0);
                self.fragmented = if is_data { !is_final } else { self.fragmented };
                (self.header_len, self.payload) = (0, payload_length(header));
                break;
            }
        }
        let rest = (bytes.len() - taken).min(usize::try_from(self.payload).unwrap_or(usize::MAX));
        self.payload -= rest as u64;
        taken + rest
    }

    /// Whether what was handed out so far ends with a message.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.payload == 0 && !self.fragmented
    }
}

/// A header's length, as far as its first bytes tell: those that tell come first.
fn header_length(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    2 + mask
        + match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        }
}

/// The payload's length, of a whole header.
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

    /// Hands out in bites of every size; returns after which bytes a message had ended.
    fn ends(bytes: &[u8], bite: usize) -> Vec<usize> {
        let (mut frames, mut at, mut ends) = (FrameTracker::default(), 0, Vec::new());
        while at < bytes.len() {
            at += frames.advance(&bytes[at..bytes.len().min(at + bite)]);
            if frames.is_between_messages() {
                ends.push(at);
            }
        }
        ends
    }

    #[test]
    fn messages_end_where_they_end_whatever_the_bites() {
        let frames = [
            (frame(0x81, 0), true),
            (frame(0x81, 125), true),
            (frame(0x01, 126), false),
            // A ping between the ns of a message.
            (frame(0x89, 4), false),
            (frame(0x00, 0), false),
            (frame(0x80, 300), true),
            (frame(0x8a, 0), true),
            (frame(0x82, 70_000), true),
            // Unmasked, which is the codec's to refuse.
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
        for bite in [1, 2, 3, 7, 13, 14, 15, 256, 100_000] {
            assert_eq!(ends(&bytes, bite), expected, "in bites of {bite}");
        }
    }

    #[test]
    fn nonsense_is_followed_without_a_panic() {
        let mut frames = FrameTracker::default();
        for byte in (0..=255).cycle().take(10_000) {
            assert_eq!(frames.advance(&[byte]), 1);
        }
        let mut huge = FrameTracker::default();
        assert_eq!(huge.advance(&[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 2]), 16);
        assert!(!huge.is_between_messages());
    }
}
