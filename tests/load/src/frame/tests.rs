//! Every frame, in every split.

use super::*;

/// What a reader has handed on, with the pieces of messages put together.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(u16, Vec<u8>),
}

/// Reads these pieces, and checks that the offsets are right.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Seen>, Violation> {
    let (mut reader, mut seen, mut message) = (FrameReader::default(), Vec::new(), Vec::new());
    for piece in pieces {
        reader.read(piece, |event| {
            match event {
                Event::Data(part) => {
                    assert_eq!(part.offset, message.len() as u64);
                    message.extend_from_slice(part.bytes);
                    if part.last {
                        seen.push(Seen::Message(part.text, std::mem::take(&mut message)));
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

/// A server's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let header = match length {
        0..=125 => vec![first, length as u8],
        126..=0xffff => [&[first, 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [&header, payload].concat()
}

/// A stream with one of everything, and what it means.
fn everything() -> (Vec<u8>, Vec<Seen>) {
    let medium = [b'm'; 130];
    let stream = [
        frame(FINAL | TEXT, b"whole"),
        frame(FINAL | TEXT, b""),
        frame(FINAL | PING, b"are you there?"),
        frame(BINARY, b"one"),
        frame(CONTINUATION, b""),
        frame(FINAL | PING, b""),
        frame(CONTINUATION, &medium),
        frame(FINAL | CONTINUATION, b"three"),
        frame(FINAL | PONG, b"unasked"),
        frame(FINAL | TEXT, &medium),
        frame(FINAL | CLOSE, b"\x03\xe8bye"),
    ];
    let seen = [
        Seen::Message(true, b"whole".into()),
        Seen::Message(true, b"".into()),
        Seen::Ping(b"are you there?".into()),
        Seen::Ping(b"".into()),
        Seen::Message(false, [b"one", &medium[..], b"three"].concat()),
        Seen::Pong,
        Seen::Message(true, medium.into()),
        Seen::Close(1000, b"bye".into()),
    ];
    (stream.concat(), seen.into())
}

#[test]
fn every_split_in_two_and_three() {
    let (stream, seen) = everything();
    for first in 0..=stream.len() {
        let (head, rest) = stream.split_at(first);
        assert_eq!(read([head, rest]).unwrap(), seen, "{first}");
        for second in 0..=rest.len() {
            let (middle, tail) = rest.split_at(second);
            assert_eq!(read([head, middle, tail]).unwrap(), seen, "{first} {second}");
        }
    }
}

#[test]
fn every_size_of_pieces() {
    let (stream, seen) = everything();
    for size in 1..=stream.len() {
        assert_eq!(read(stream.chunks(size)).unwrap(), seen, "{size}");
    }
}

#[test]
fn every_length_form_at_its_limits() {
    for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 3_000_000] {
        let payload = vec![b'p'; length];
        let stream = frame(FINAL | TEXT, &payload).repeat(2);
        let seen = vec![Seen::Message(true, payload); 2];
        assert_eq!(read([&stream[..]]).unwrap(), seen, "{length}");
        for size in [4096, 65_537] {
            assert_eq!(read(stream.chunks(size)).unwrap(), seen, "{length} by {size}");
        }
        let (head, tail) = stream.split_at(7.min(stream.len()));
        assert_eq!(read([head, tail]).unwrap(), seen, "{length}");
    }
}

#[test]
fn a_message_in_one_piece_is_handed_on_in_one() {
    let stream = frame(FINAL | TEXT, b"whole");
    let mut parts = 0;
    let sink = |event: Event<'_>| {
        parts += 1;
        assert_eq!(event, Event::Data(Part { bytes: b"whole", offset: 0, last: true, text: true }));
        Ok::<(), Violation>(())
    };
    FrameReader::default().read(&stream, sink).unwrap();
    assert_eq!(parts, 1);
}

#[test]
fn a_close_frame_without_a_code() {
    assert_eq!(read([&frame(FINAL | CLOSE, b"")[..]]).unwrap(), [Seen::Close(1005, Vec::new())]);
}

#[test]
fn what_a_server_must_not_send() {
    let long_control = frame(FINAL | PING, &[0; 126]);
    let inside = [frame(TEXT, b"a"), frame(FINAL | TEXT, b"b")].concat();
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
        (&inside, Violation::Order),
    ] {
        assert_eq!(read([stream]), Err(violation), "{stream:02x?}");
        assert_eq!(read(stream.chunks(1)), Err(violation), "{stream:02x?}, byte by byte");
    }
}

#[test]
fn client_frames_are_masked_and_as_long_as_they_say() {
    for (length, header) in [(0, 6), (125, 6), (126, 8), (0xffff, 8), (0x1_0000, 14)] {
        let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let frame = client_frame(TEXT, &payload);
        assert_eq!(frame.len(), header + length);
        assert_eq!((frame[0], frame[1] & MASKED), (0x81, MASKED));
        assert_eq!(frame[header - 4..header], MASK);
        let unmasked: Vec<u8> =
            frame[header..].iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(unmasked, payload);
    }
    for length in [0, 1, 125] {
        let payload = vec![7; length];
        let (frame, used) = pong(&payload);
        assert_eq!(frame[..used], client_frame(PONG, &payload));
    }
}
