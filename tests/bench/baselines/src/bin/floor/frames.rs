//! Frames of RFC 6455, section 5.2, in place.

use std::io::{self, ErrorKind};

/// First bytes of frames that are whole messages.
pub const FINAL_TEXT: u8 = 0x81;
/// Of a close frame.
pub const FINAL_CLOSE: u8 = 0x88;
/// Of a ping.
pub const FINAL_PING: u8 = 0x89;
/// As long as the gateway's.
pub const PING_PAYLOAD: &[u8] = &[0, 0, 0, 1];
/// Of a pong.
pub const FINAL_PONG: u8 = 0x8a;

/// Of a frame without a mask.
pub const LONGEST_HEADER: usize = 10;

/// No client sends longer ones here.
const MAX_PAYLOAD: usize = 64 * 1024 * 1024;

/// The first frame, if it is whole: its first byte, its payload, unmasked where it is, and its length in all.
pub fn next(bytes: &mut [u8]) -> io::Result<Option<(u8, &[u8], usize)>> {
    let Some(&[first, second]) = bytes.first_chunk() else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(ErrorKind::InvalidData.into());
    }
    let (length, header) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(length) => (usize::from(u16::from_be_bytes([length[0], length[1]])), 4),
            None => return Ok(None),
        },
        127 => match bytes[2..].first_chunk() {
            Some(length) => (usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX), 10),
            None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    if length > MAX_PAYLOAD {
        return Err(ErrorKind::InvalidData.into());
    }
    let (start, end) = (header + 4, header + 4 + length);
    if bytes.len() < end {
        return Ok(None);
    }
    let mask: [u8; 4] = bytes[header..start].try_into().expect("four bytes");
    unmask(&mut bytes[start..end], mask);
    Ok(Some((first, &bytes[start..end], end)))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask, mask].concat().try_into().expect("eight bytes"));
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends a server's frame.
pub fn encode(first: u8, payload: &[u8], output: &mut Vec<u8>) {
    output.push(first);
    match payload.len() {
        length @ 0..=125 => output.push(length as u8),
        length @ 126..=0xffff => {
            output.push(126);
            output.extend((length as u16).to_be_bytes());
        }
        length => {
            output.push(127);
            output.extend((length as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_come_out_unmasked_and_only_when_whole() {
        for length in [0, 1, 7, 8, 9, 125, 126, 65_535, 65_536, 300_000] {
            let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let mask = [1, 2, 3, 4];
            let mut frame = Vec::new();
            encode(FINAL_TEXT, &payload, &mut frame);
            let header = frame.len() - length;
            frame[1] |= 0x80;
            frame.splice(header..header, mask);
            frame[header + 4..].iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            for cut in [0, 1, 2, header, header + 3, frame.len() - 1] {
                assert!(next(&mut frame[..cut].to_vec()).unwrap().is_none(), "{length} cut to {cut}");
            }
            let whole = frame.len();
            frame.extend([1, 2, 3]);
            assert_eq!(next(&mut frame).unwrap(), Some((FINAL_TEXT, &payload[..], whole)));
        }
        assert!(next(&mut [FINAL_TEXT, 0, 0, 0]).is_err());
    }
}
