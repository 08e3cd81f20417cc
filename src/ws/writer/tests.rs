use super::*;

const BOUNDS: QueueLimits = QueueLimits { messages: 100, bytes: 1 << 20 };
const PONG: &[u8] = &[0x8a, 1, b'p'];

/// Every kind of length, and payloads on both sides of what is copied.
const LENGTHS: [usize; 9] = [0, 1, 125, 126, COPY_MAX - 1, COPY_MAX, 65_535, 65_536, 3];

fn filled() -> (Box<WriteBuffer>, Vec<u8>) {
    let mut outgoing = WriteBuffer::acquire();
    let mut expected = PONG.to_vec();
    outgoing.push_control(PONG);
    for length in LENGTHS {
        let text = "x".repeat(length);
        let (header, header_length) = header_bytes(length);
        expected.extend(&header[..header_length]);
        expected.extend(text.as_bytes());
        outgoing.push(text.into(), &BOUNDS).unwrap();
    }
    (outgoing, expected)
}

/// A socket that takes so many bytes at a time, and nothing every other time.
fn drain(outgoing: &mut WriteBuffer, most: usize) -> (Vec<u8>, Written) {
    let (mut bytes, mut written, mut turn) = (Vec::new(), Written::default(), 0);
    while !outgoing.is_empty() {
        let result = outgoing.write(&mut written, |first, second| {
            turn += 1;
            if turn % 2 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let offered = bytes.len();
            bytes.extend(first.iter().chain(second).take(most));
            Ok(bytes.len() - offered)
        });
        assert!(result.is_ok() || !outgoing.is_empty());
    }
    (bytes, written)
}

#[test]
fn all_goes_out_in_order_however_the_socket_cuts_it() {
    for most in [1_000_000, 100_000, 65_537, 20_000, 4_097, 129, 14, 7, 3] {
        let (mut outgoing, expected) = filled();
        let (bytes, written) = drain(&mut outgoing, most);
        assert!(bytes == expected, "{most} bytes at a time");
        let payload_bytes = LENGTHS.iter().sum::<usize>() as u64;
        let messages = LENGTHS.len() as u64;
        assert_eq!(written, Written { bytes: expected.len() as u64, messages, payload_bytes });
    }
}

#[test]
fn control_frames_go_before_every_message_that_is_not_begun() {
    let mut outgoing = WriteBuffer::default();
    outgoing.push("first".into(), &BOUNDS).unwrap();
    outgoing.push("second".into(), &BOUNDS).unwrap();
    let mut written = Written::default();
    let mut is_first = true;
    let once = |_: &[u8], _: &[u8]| match std::mem::take(&mut is_first) {
        true => Ok(3),
        false => Err(io::ErrorKind::WouldBlock.into()),
    };
    assert!(outgoing.write(&mut written, once).is_err());
    outgoing.push_control(PONG);
    assert_eq!(outgoing.discard_unsent(), 6, "the second message; of the first a part is out");
    let (bytes, _) = drain(&mut outgoing, 100);
    assert_eq!(bytes, [b"irst", PONG].concat());
}

#[test]
fn a_shared_payload_is_not_copied() {
    let text = Utf8Bytes::from("x".repeat(COPY_MAX));
    let mut outgoing = WriteBuffer::default();
    outgoing.push(text.clone(), &BOUNDS).unwrap();
    let mut at = std::ptr::null();
    let detail = |first: &[u8], second: &[u8]| {
        at = second.as_ptr();
        Ok(first.len() + second.len())
    };
    outgoing.write(&mut Written::default(), detail).unwrap();
    assert_eq!(at, text.as_str().as_ptr());
}
