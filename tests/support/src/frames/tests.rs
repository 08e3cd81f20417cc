//! Every kind of frame, complete and split at every position.

use super::*;

/// What a reader has reported, with each message in one part.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Message { text: bool, bytes: Vec<u8> },
    Ping(Vec<u8>),
    Pong,
    Close(u16, Vec<u8>),
}

/// Reads these chunks and checks the offsets.
fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Seen>, Violation> {
    let (mut reader, mut seen, mut message) = (FrameReader::default(), Vec::new(), Vec::new());
    for chunk in chunks {
        reader.read(chunk, |event| {
            match event {
                Event::Data(chunk) => {
                    assert_eq!(chunk.offset, message.len() as u64);
                    message.extend_from_slice(chunk.bytes);
                    if chunk.last {
                        seen.push(Seen::Message { text: chunk.text, bytes: std::mem::take(&mut message) });
                    }
                }
                Event::Ping(payload) => seen.push(Seen::Ping(payload.into())),
                Event::Pong => seen.push(Seen::Pong),
                Event::Close(code, reason) => seen.push(Seen::Close(code, reason.into())),
            }
            Ok::<(), Violation>(())
        })?;
    }
    Ok(seen)
}

/// A stream with every kind of frame, and what it means.
fn all_kinds() -> (Vec<u8>, Vec<Seen>) {
    let medium = [b'm'; 130];
    let stream = [
        server_frame(FIN | TEXT, b"whole"),
        server_frame(FIN | TEXT, b""),
        server_frame(FIN | PING, b"are you there?"),
        server_frame(BINARY, b"one"),
        server_frame(CONTINUATION, b""),
        server_frame(FIN | PING, b""),
        server_frame(CONTINUATION, &medium),
        server_frame(FIN | CONTINUATION, b"three"),
        server_frame(FIN | PONG, b"unsolicited"),
        server_frame(FIN | TEXT, &medium),
        server_frame(FIN | CLOSE, b"\x03\xe8bye"),
    ];
    let message = |text, bytes: &[u8]| Seen::Message { text, bytes: bytes.into() };
    let seen = [
        message(true, b"whole"),
        message(true, b""),
        Seen::Ping(b"are you there?".into()),
        Seen::Ping(b"".into()),
        message(false, &[b"one", &medium[..], b"three"].concat()),
        Seen::Pong,
        message(true, &medium),
        Seen::Close(1000, b"bye".into()),
    ];
    (stream.concat(), seen.into())
}

#[test]
fn reader_accepts_every_split() {
    let (stream, seen) = all_kinds();
    for first in 0..=stream.len() {
        let (head, rest) = stream.split_at(first);
        for second in 0..=rest.len() {
            let (middle, tail) = rest.split_at(second);
            assert_eq!(read([head, middle, tail]).unwrap(), seen, "{first} {second}");
        }
    }
    for size in 1..=stream.len() {
        assert_eq!(read(stream.chunks(size)).unwrap(), seen, "{size}");
    }
}

#[test]
fn reader_accepts_every_length_form() {
    for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 3_000_000] {
        let payload = vec![b'p'; length];
        let stream = server_frame(FIN | TEXT, &payload).repeat(2);
        let seen = vec![Seen::Message { text: true, bytes: payload }; 2];
        for size in [4096, 65_537, stream.len()] {
            assert_eq!(read(stream.chunks(size)).unwrap(), seen, "{length} by {size}");
        }
        let (head, tail) = stream.split_at(7.min(stream.len()));
        assert_eq!(read([head, tail]).unwrap(), seen, "{length}");
    }
}

#[test]
fn message_in_one_read_is_reported_once() {
    let stream = server_frame(FIN | TEXT, b"whole");
    let mut chunks = 0;
    let sink = |event: Event<'_>| {
        chunks += 1;
        assert_eq!(event, Event::Data(Chunk { bytes: b"whole", offset: 0, last: true, text: true }));
        Ok::<(), Violation>(())
    };
    FrameReader::default().read(&stream, sink).unwrap();
    assert_eq!(chunks, 1);
}

#[test]
fn close_frame_without_code_is_reported_as_1005() {
    assert_eq!(read([&server_frame(FIN | CLOSE, b"")[..]]).unwrap(), [Seen::Close(1005, Vec::new())]);
}

#[test]
fn invalid_server_frames_are_rejected() {
    let long_control = server_frame(FIN | PING, &[0; 126]);
    let nested = [server_frame(TEXT, b"a"), server_frame(FIN | TEXT, b"b")].concat();
    for (stream, violation) in [
        (&[0xc1, 0][..], Violation::Reserved(0xc1)),
        (&[0x83, 0], Violation::Reserved(0x83)),
        (&[0x8b, 0], Violation::Reserved(0x8b)),
        (&[0x81, 0x80, 0, 0, 0, 0], Violation::Masked),
        (&[0x81, 126, 0, 125], Violation::Length),
        (&[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::Length),
        (&[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Violation::Length),
        (&[0x09, 0], Violation::Control),
        (&long_control, Violation::Control),
        (&[0x88, 1, 3], Violation::Control),
        (&[0x80, 0], Violation::Order),
        (&nested, Violation::Order),
    ] {
        assert_eq!(read([stream]), Err(violation), "{stream:02x?}");
        assert_eq!(read(stream.chunks(1)), Err(violation), "{stream:02x?}, byte by byte");
    }
}

#[test]
fn whole_frames_are_parsed_with_every_length_and_only_when_complete() {
    for length in [0, 1, 7, 8, 9, 125, 126, 65_535, 65_536, 300_000] {
        let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
        for (mut bytes, is_client) in
            [(client_frame(FIN | TEXT, &payload), true), (server_frame(FIN | TEXT, &payload), false)]
        {
            let parse = |bytes: &mut Vec<u8>| match is_client {
                true => parse_client_frame(bytes).map(|frame| frame.map(|frame| (frame.payload.to_vec(), frame.len))),
                false => parse_server_frame(bytes).map(|frame| frame.map(|frame| (frame.payload.to_vec(), frame.len))),
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
        assert_eq!(frame[header - 4..header], MASK);
        if length >= 2 {
            assert_eq!(frame[header..header + 2], [MASK[0], 1 ^ MASK[1]]);
        }
    }
    for length in [0, 1, 125] {
        let payload = vec![7; length];
        let (frame, len) = client_control_frame(PONG, &payload);
        assert_eq!(frame[..len], client_frame(FIN | PONG, &payload));
    }
}
