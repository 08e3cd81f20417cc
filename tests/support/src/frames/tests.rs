//! Whole, incomplete and invalid frames.

use super::*;

#[test]
fn invalid_server_frames_are_rejected() {
    for (bytes, violation) in [
        (&[0x83, 0][..], Violation::Reserved(0x83)),
        (&[0xc1, 0], Violation::Reserved(0xc1)),
        (&[0x81, 0x80, 0, 0, 0, 0], Violation::Masked),
        (&[0x81, 126, 0, 125], Violation::Length),
        (&[0x09, 0], Violation::Control),
        (&[0x89, 126, 0, 126], Violation::Control),
    ] {
        assert_eq!(parse_server_frame(bytes).err(), Some(violation), "{bytes:?}");
    }
}

#[test]
fn whole_frames_are_parsed_with_every_length_and_only_when_complete() {
    for length in [0, 1, 7, 8, 9, 125, 126, 65_535, 65_536, 300_000] {
        let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
        for (mut bytes, is_client) in
            [(client_frame(FIN | TEXT, &payload), true), (server_frame(FIN | TEXT, &payload), false)]
        {
            let parse = |bytes: &mut Vec<u8>| {
                if is_client {
                    parse_client_frame(bytes).map(|frame| frame.map(|frame| (frame.payload.to_vec(), frame.len)))
                } else {
                    parse_server_frame(bytes).map(|frame| frame.map(|frame| (frame.payload.to_vec(), frame.len)))
                }
            };
            let len = bytes.len();
            for short in [0, 1, 2, len - length, len - 1] {
                if short < len {
                    assert_eq!(parse(&mut bytes[..short].to_vec()), Ok(None), "{short} of {length}");
                }
            }
            bytes.extend([1, 2, 3]);
            assert_eq!(parse(&mut bytes), Ok(Some((payload.clone(), len))), "{length}");
        }
    }
    assert_eq!(parse_client_frame(&mut [FIN | TEXT, 0, 0, 0]), Err(Violation::Unmasked));
    assert_eq!(parse_server_frame(&[FIN | TEXT, MASKED, 0, 0, 0, 0]), Err(Violation::Masked));
}

#[test]
fn client_frames_are_masked() {
    for (length, header) in [(0, 6), (125, 6), (126, 8), (0xffff, 8), (0x1_0000, 14)] {
        let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let frame = client_frame(FIN | TEXT, &payload);
        assert_eq!(frame.len(), header + length);
        assert_eq!((frame[0], frame[1] & MASKED), (0x81, MASKED));
        assert_eq!(frame[header - 4..header], MASKING_KEY);
        if length >= 2 {
            assert_eq!(frame[header..header + 2], [MASKING_KEY[0], 1 ^ MASKING_KEY[1]]);
        }
    }
}
