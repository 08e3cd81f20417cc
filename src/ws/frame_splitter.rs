//! Splits a client's large frames into fragments for the codec (RFC 6455, section 5.4).
//!
//! The codec reserves memory for a frame's whole payload as soon as it has the header. Of a fragmented message it holds
//! what has arrived. So a header that announces a megabyte reserves only [`FRAGMENT_BYTES`].

use super::frame_tracker::{FINAL, FrameTracker, MASK_BYTES, MASKED, MAX_HEADER};

/// The payload of a fragment; a multiple of the masking key's length, so that each fragment has the same key. Such a
/// length takes two bytes in the header.
const FRAGMENT_BYTES: u64 = 4 * 1024;
/// The largest payload whose length is in the header's second byte, and the value there of a length in two more bytes.
const MAX_SHORT_LENGTH: u64 = 125;
const LENGTH_IN_TWO_BYTES: u8 = 126;

/// Passes a client's frames on, the large ones in fragments.
#[derive(Debug, Default)]
pub struct FrameSplitter {
    /// The position in the bytes from the client.
    pub frames: FrameTracker,
    /// The header to pass on next: `header[header_start..header_end]`.
    header: [u8; MAX_HEADER],
    header_start: usize,
    header_end: usize,
    /// Payload bytes of the frame or fragment being passed on that are still to come.
    payload_left: u64,
}

impl FrameSplitter {
    /// Passes on bytes of one frame at most: moves them from `input` to the start of `output`. Frames with a payload
    /// over `max_payload` are passed on as they are, for the codec to reject. Returns the numbers of bytes taken and
    /// passed on; none are passed on while a header is incomplete.
    pub fn copy(&mut self, input: &[u8], output: &mut [u8], max_payload: usize) -> (usize, usize) {
        if !self.has_header()
            && let Some(length) = self.frames.read_data_frame(input, output.len().min(FRAGMENT_BYTES as usize))
        {
            // Fast path for most frames.
            output[..length].copy_from_slice(&input[..length]);
            return (length, length);
        }
        let (mut taken, mut given) = (0, 0);
        loop {
            if self.has_header() {
                given += self.copy_header(&mut output[given..]);
            }
            let ends_frame = given > 0 && self.is_between_frames();
            let (input, output) = (&input[taken..], &mut output[given..]);
            if ends_frame || input.is_empty() || output.is_empty() {
                return (taken, given);
            }
            if self.payload_left > 0 {
                let n = input.len().min(output.len()).min(usize::try_from(self.payload_left).unwrap_or(usize::MAX));
                output[..n].copy_from_slice(&input[..n]);
                self.frames.read_payload(&input[..n]);
                self.payload_left -= n as u64;
                (taken, given) = (taken + n, given + n);
                if self.payload_left == 0 && self.frames.payload_left() > 0 {
                    self.start_fragment(0);
                }
            } else {
                let (n, is_complete) = self.frames.read_header(input);
                taken += n;
                if is_complete {
                    self.start_frame(max_payload);
                }
            }
        }
    }

    /// Whether everything up to the end of a frame has been passed on.
    pub fn is_between_frames(&self) -> bool {
        self.header_start == self.header_end && self.frames.is_between_frames()
    }

    /// Whether a header, or a part of it, is still to be passed on.
    pub fn has_header(&self) -> bool {
        self.header_start < self.header_end
    }

    fn copy_header(&mut self, output: &mut [u8]) -> usize {
        let n = output.len().min(self.header_end - self.header_start);
        match output.first_chunk_mut() {
            // Fast path: a copy of constant length. What follows the header is overwritten.
            Some(output) if self.header_start == 0 => *output = self.header,
            _ => output[..n].copy_from_slice(&self.header[self.header_start..self.header_start + n]),
        }
        self.header_start += n;
        n
    }

    /// Prepares the header of the frame whose header was just read, or of its first fragment.
    fn start_frame(&mut self, max_payload: usize) {
        let ((header, length), payload) = (self.frames.last_header(), self.frames.payload_left());
        let is_split = (FRAGMENT_BYTES + 1..=max_payload as u64).contains(&payload)
            && self.frames.is_data()
            && header[1] & MASKED != 0;
        if is_split {
            return self.start_fragment(header[0] & !FINAL);
        }
        self.header = *header;
        (self.header_start, self.header_end, self.payload_left) = (0, length, payload);
    }

    /// Prepares the header of the next fragment. `first_byte` has the opcode and the reserved bits: those of the frame
    /// for its first fragment, and 0, a continuation, for the others.
    fn start_fragment(&mut self, first_byte: u8) {
        let ((frame, length), left) = (self.frames.last_header(), self.frames.payload_left());
        let payload = left.min(FRAGMENT_BYTES);
        self.header[0] = first_byte | if payload == left { frame[0] & FINAL } else { 0 };
        let mask = &frame[length - MASK_BYTES..length];
        let mask_at = if payload <= MAX_SHORT_LENGTH {
            self.header[1] = MASKED | payload as u8;
            2
        } else {
            self.header[1] = MASKED | LENGTH_IN_TWO_BYTES;
            self.header[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
            4
        };
        self.header[mask_at..mask_at + MASK_BYTES].copy_from_slice(mask);
        (self.header_start, self.header_end, self.payload_left) = (0, mask_at + MASK_BYTES, payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_PAYLOAD: usize = 100_000;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len();
        let header = match length {
            0..=125 => vec![first, MASKED | length as u8],
            126..=0xffff => [&[first, MASKED | 126][..], &(length as u16).to_be_bytes()].concat(),
            _ => [&[first, MASKED | 127][..], &(length as u64).to_be_bytes()].concat(),
        };
        [&header[..], &[1, 2, 3, 4], payload].concat()
    }

    /// Passes `bytes` on, with at most `taken` bytes of input and `given` of output at a time.
    fn pass_on(splitter: &mut FrameSplitter, mut bytes: &[u8], max_taken: usize, max_given: usize) -> Vec<u8> {
        let (mut all, mut output) = (Vec::new(), vec![0; max_given]);
        while !bytes.is_empty() || splitter.has_header() {
            let (taken, given) = splitter.copy(&bytes[..bytes.len().min(max_taken)], &mut output, MAX_PAYLOAD);
            assert!(taken + given > 0, "no progress");
            bytes = &bytes[taken..];
            all.extend_from_slice(&output[..given]);
        }
        all
    }

    fn payload(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn large_data_frames_are_split_with_any_chunk_size() {
        let data = payload(8192 + 7);
        let cases = [
            (
                frame(0x81, &data),
                vec![frame(0x01, &data[..4096]), frame(0, &data[4096..8192]), frame(0x80, &data[8192..])],
            ),
            // The first frame of a fragmented message: its last fragment isn't final either.
            (frame(0x02, &data[..4097]), vec![frame(0x02, &data[..4096]), frame(0, &data[4096..4097])]),
            // A continuation; a reserved bit stays on the first fragment.
            (frame(0xc0, &data[..8192]), vec![frame(0x40, &data[..4096]), frame(0x80, &data[4096..8192])]),
        ];
        for (whole, fragments) in cases {
            for (max_taken, max_given) in [(1, 256), (3, 5), (256, 256), (100_000, 1), (100_000, 100_000)] {
                let mut splitter = FrameSplitter::default();
                let passed_on = pass_on(&mut splitter, &whole, max_taken, max_given);
                assert_eq!(passed_on, fragments.concat(), "{max_taken} {max_given}");
                assert!(splitter.is_between_frames());
            }
        }
    }

    #[test]
    fn all_other_frames_are_passed_on_as_they_are() {
        let unmasked = [&[0x82, 126, 0x20, 0][..], &payload(0x2000)].concat();
        let others = [
            frame(0x81, b""),
            frame(0x01, &payload(4096)),
            frame(0x89, &payload(125)),
            // Frames that the codec rejects: a large control frame, one without a mask, one that is too large.
            frame(0x88, &payload(5000)),
            unmasked,
            frame(0x82, &payload(MAX_PAYLOAD + 1)),
        ];
        for chunk in [1, 13, 100_000] {
            let mut splitter = FrameSplitter::default();
            assert_eq!(pass_on(&mut splitter, &others.concat(), chunk, chunk), others.concat());
        }
    }
}
