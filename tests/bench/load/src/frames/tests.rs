//! Frames of every kind, in chunks of every size.

use super::*;

/// What a reader handed on, with the fragments of messages joined.
#[derive(Clone, Debug, PartialEq)]
enum Received {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(u16, Vec<u8>),
}

/// Reads these chunks.
fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Received>, Violation> {
    let (mut reader, mut received, mut message) = (FrameReader::default(), Vec::new(), Vec::new());
    for chunk in chunks {
        reader.read(chunk, |event| {
            match event {
                Event::Message(fragment) => {
                    assert!(!fragment.is_first || message.is_empty());
                    message.extend_from_slice(fragment.bytes);
                    if fragment.is_last {
                        received.push(Received::Message(fragment.is_text, std::mem::take(&mut message)));
                    }
                }
                Event::Ping(payload) => received.push(Received::Ping(payload.into())),
                Event::Pong => received.push(Received::Pong),
                Event::Close(code, reason) => received.push(Received::Close(code, reason.into())),
            }
            Ok::<(), Violation>(())
        })?;
    }
    Ok(received)
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

/// A stream with every kind of frame, and what it contains.
fn every_kind() -> (Vec<u8>, Vec<Received>) {
    let medium = [b'm'; 130];
    let stream = [
        frame(FINAL | TEXT, b"whole"),
        frame(FINAL | TEXT, b""),
        frame(FINAL | PING, b"ping"),
        frame(BINARY, b"one"),
        frame(CONTINUATION, b""),
        frame(FINAL | PING, b""),
        frame(CONTINUATION, &medium),
        frame(FINAL | CONTINUATION, b"three"),
        frame(FINAL | PONG, b"unsolicited"),
        frame(FINAL | TEXT, &medium),
        frame(FINAL | CLOSE, b"\x03\xe8bye"),
    ];
    let received = [
        Received::Message(true, b"whole".into()),
        Received::Message(true, b"".into()),
        Received::Ping(b"ping".into()),
        Received::Ping(b"".into()),
        Received::Message(false, [b"one", &medium[..], b"three"].concat()),
        Received::Pong,
        Received::Message(true, medium.into()),
        Received::Close(1000, b"bye".into()),
    ];
    (stream.concat(), received.into())
}

#[test]
fn frames_split_into_two_and_three_chunks_are_read() {
    let (stream, expected) = every_kind();
    for first in 0..=stream.len() {
        let (head, rest) = stream.split_at(first);
        assert_eq!(read([head, rest]).unwrap(), expected, "{first}");
        for second in 0..=rest.len() {
            let (middle, tail) = rest.split_at(second);
            assert_eq!(read([head, middle, tail]).unwrap(), expected, "{first} {second}");
        }
    }
}

#[test]
fn frames_in_chunks_of_every_size_are_read() {
    let (stream, expected) = every_kind();
    for size in 1..=stream.len() {
        assert_eq!(read(stream.chunks(size)).unwrap(), expected, "{size}");
    }
}

#[test]
fn every_length_encoding_is_read_at_its_limits() {
    for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 3_000_000] {
        let payload = vec![b'p'; length];
        let stream = frame(FINAL | TEXT, &payload).repeat(2);
        let expected = vec![Received::Message(true, payload); 2];
        assert_eq!(read([&stream[..]]).unwrap(), expected, "{length}");
        for size in [4096, 65_537] {
            assert_eq!(read(stream.chunks(size)).unwrap(), expected, "{length} by {size}");
        }
        let (head, tail) = stream.split_at(7.min(stream.len()));
        assert_eq!(read([head, tail]).unwrap(), expected, "{length}");
    }
}

#[test]
fn whole_message_is_one_fragment() {
    let stream = frame(FINAL | TEXT, b"whole");
    let mut fragments = 0;
    let sink = |event: Event<'_>| {
        fragments += 1;
        assert_eq!(event, Event::Message(Fragment { bytes: b"whole", is_first: true, is_last: true, is_text: true }));
        Ok::<(), Violation>(())
    };
    FrameReader::default().read(&stream, sink).unwrap();
    assert_eq!(fragments, 1);
}

#[test]
fn close_frame_without_code_is_1005() {
    assert_eq!(read([&frame(FINAL | CLOSE, b"")[..]]).unwrap(), [Received::Close(1005, Vec::new())]);
}

#[test]
fn violations_are_reported() {
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
fn client_frames_are_masked() {
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
