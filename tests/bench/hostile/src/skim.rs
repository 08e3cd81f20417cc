//! Skims a server's frames for the close frame: the payload of all others is skipped without a look.

use test_support::frames::{CLOSE, FIN};

/// Position in a server's stream of frames.
#[derive(Default)]
pub struct Skimmer {
    /// The beginning of a frame's header.
    header: Vec<u8>,
    /// Bytes of the current frame's payload that haven't arrived.
    left: u64,
    /// Whether the current frame is a close frame.
    in_close: bool,
    close: Vec<u8>,
    /// Whole frames, and the one that has begun.
    pub frames: u64,
}

impl Skimmer {
    /// Takes the next bytes of the stream.
    pub fn skim(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let length = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                if self.in_close {
                    self.close.extend_from_slice(&bytes[..length]);
                }
                self.left -= length as u64;
                bytes = &bytes[length..];
                continue;
            }
            self.header.push(bytes[0]);
            bytes = &bytes[1..];
            if let Some(length) = payload_length(&self.header) {
                self.in_close = self.header[0] == FIN | CLOSE;
                (self.left, self.frames) = (length, self.frames + 1);
                self.header.clear();
            }
        }
    }

    /// Code and reason of the close frame, if one came.
    pub fn close(&self) -> Option<(u16, String)> {
        if self.left > 0 {
            return None;
        }
        let (code, reason) = self.close.split_first_chunk()?;
        Some((u16::from_be_bytes(*code), String::from_utf8_lossy(reason).into_owned()))
    }
}

/// The payload's length, if the header is complete.
fn payload_length(header: &[u8]) -> Option<u64> {
    let (second, rest) = header.get(1..)?.split_first()?;
    match second {
        126 => rest.first_chunk().map(|length| u16::from_be_bytes(*length).into()),
        127 => rest.first_chunk().map(|length| u64::from_be_bytes(*length)),
        length => Some((*length).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_support::frames::{BINARY, TEXT, server_frame};

    #[test]
    fn close_frame_is_found_wherever_the_stream_is_cut() {
        let frames = [
            server_frame(FIN | TEXT, b"first"),
            server_frame(FIN | BINARY, &[0x88; 300]),
            server_frame(FIN | TEXT, &vec![0x88; 70_000]),
            server_frame(FIN | CLOSE, b"\x03\xf5reason"),
        ];
        let stream = frames.concat();
        for size in [1, 2, 7, 1000, stream.len()] {
            let mut skimmer = Skimmer::default();
            for bytes in stream.chunks(size) {
                assert_eq!(skimmer.close(), None);
                skimmer.skim(bytes);
            }
            assert_eq!((skimmer.close(), skimmer.frames), (Some((1013, "reason".to_owned())), 4), "{size}");
        }
    }
}
