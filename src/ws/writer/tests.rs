use super::*;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

const PONG: &[u8] = &[0x8a, 1, b'p'];

/// Payload lengths for every encoding of the length in a header, and on both sides of `COPY_LIMIT`.
const LENGTHS: [usize; 9] = [0, 1, 125, 126, COPY_LIMIT - 1, COPY_LIMIT, 65_535, 65_536, 3];

/// The header of a message as the codec encodes it.
fn codec_header(message: &Message) -> Vec<u8> {
    let opcode = OpCode::Data(match message {
        Message::Text(_) => Data::Text,
        Message::Binary(_) => Data::Binary,
    });
    let mut bytes = Vec::new();
    let header = FrameHeader { is_final: true, opcode, ..FrameHeader::default() };
    header.format(message.payload().len() as u64, &mut bytes).unwrap();
    bytes
}

/// A buffer with a pong and a message of each length, and the bytes that it is to write.
fn filled() -> (Box<WriteBuffer>, Vec<u8>) {
    let mut buffer = WriteBuffer::acquire();
    let mut expected = PONG.to_vec();
    buffer.push_control(PONG);
    for length in LENGTHS {
        let message = Message::from("x".repeat(length));
        expected.extend(codec_header(&message));
        expected.extend(message.payload());
        buffer.push(message, false);
    }
    (buffer, expected)
}

/// Writes to a socket that accepts at most `max` bytes at a time, and nothing every other time.
fn drain(buffer: &mut WriteBuffer, max: usize) -> (Vec<u8>, Written) {
    let (mut bytes, mut written, mut calls) = (Vec::new(), Written::default(), 0);
    while !buffer.is_empty() {
        let result = buffer.write(&mut written, |first, second| {
            calls += 1;
            if calls % 2 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let before = bytes.len();
            bytes.extend(first.iter().chain(second).take(max));
            Ok(bytes.len() - before)
        });
        assert!(result.is_ok() || !buffer.is_empty());
    }
    (bytes, written)
}

#[test]
fn frames_split_at_any_offset_are_written_in_order() {
    for max in [1_000_000, 100_000, 65_537, 20_000, 4_097, 129, 14, 7, 3] {
        let (mut buffer, expected) = filled();
        let (bytes, written) = drain(&mut buffer, max);
        assert!(bytes == expected, "{max} bytes at a time");
        let messages = LENGTHS.len() as u64;
        assert_eq!(written, Written { bytes: expected.len() as u64, messages });
        assert_eq!((buffer.messages(), buffer.bytes().all), (0, 0));
    }
}

/// A buffer with a control frame and two messages, the first of them partly written.
fn partly_written() -> WriteBuffer {
    let mut buffer = WriteBuffer::default();
    buffer.push("first".into(), false);
    buffer.push("second".into(), false);
    let mut written = Written::default();
    let mut is_first = true;
    let write_once = |_: &[u8], _: &[u8]| {
        if std::mem::take(&mut is_first) { Ok(3) } else { Err(io::ErrorKind::WouldBlock.into()) }
    };
    assert!(buffer.write(&mut written, write_once).is_err());
    buffer.push_control(PONG);
    buffer
}

#[test]
fn control_frames_are_written_ahead_of_every_message_that_is_not_partial() {
    let (bytes, _) = drain(&mut partly_written(), 100);
    assert_eq!(bytes, [b"irst", PONG, b"\x81\x06second"].concat());
}

#[test]
fn discarding_keeps_control_frames_and_the_partial_message() {
    let mut buffer = partly_written();
    buffer.discard_unsent();
    assert_eq!((buffer.messages(), buffer.bytes().all), (1, queued_size(5)));
    let (bytes, _) = drain(&mut buffer, 100);
    assert_eq!(bytes, [b"irst", PONG].concat());
}

#[test]
fn long_payload_is_written_without_a_copy() {
    let message = Message::from("x".repeat(COPY_LIMIT));
    let mut buffer = WriteBuffer::default();
    buffer.push(message.clone(), false);
    let mut address = std::ptr::null();
    let write = |first: &[u8], second: &[u8]| {
        address = second.as_ptr();
        Ok(first.len() + second.len())
    };
    buffer.write(&mut Written::default(), write).unwrap();
    assert_eq!(address, message.payload().as_ptr());
}

#[tokio::test]
async fn long_payload_is_written_in_parts_of_which_each_takes_the_budget() {
    let mut buffer = WriteBuffer::default();
    buffer.push("x".repeat(3 * MAX_PAYLOAD_PER_WRITE).into(), false);
    let mut written = Written::default();
    let mut write = |first: &[u8], second: &[u8]| Ok(first.len() + second.len());
    for part in 1..=3 {
        assert!(!buffer.is_empty());
        buffer.write(&mut written, &mut write).unwrap();
        let messages = u64::from(part == 3);
        assert_eq!(written, Written { bytes: (MAX_HEADER + part * MAX_PAYLOAD_PER_WRITE) as u64, messages });
        if part == 1 {
            assert!(budget::is_spent(), "the second part is written without budget");
        } else {
            tokio::task::yield_now().await;
        }
    }
    assert!(buffer.is_empty());
}

#[test]
fn text_and_binary_messages_have_their_opcodes() {
    let first_byte = |message: Message| encode_header(&message).0[0];
    assert_eq!((first_byte("x".into()), first_byte(Message::Binary("x".into()))), (0x81, 0x82));
}

#[test]
fn messages_count_payloads_and_an_overhead_for_each() {
    let (mut buffer, max_bytes) = (WriteBuffer::default(), 4 * MESSAGE_OVERHEAD + 10);
    buffer.push("01234".into(), false);
    assert!(!buffer.is_half_full(max_bytes) && buffer.is_half_full(max_bytes - 2));
    buffer.push("".into(), false);
    buffer.push("".into(), false);
    buffer.push("56789".into(), false);
    assert_eq!((buffer.messages(), buffer.bytes().all), (4, max_bytes));
    buffer.discard_unsent();
    assert_eq!(buffer.bytes().all, 0);
}

#[test]
fn shared_payload_is_not_among_the_own_bytes() {
    let mut buffer = WriteBuffer::default();
    buffer.push("own".into(), false);
    buffer.push("shared".into(), true);
    assert_eq!((buffer.bytes().all, buffer.bytes().own), (queued_size(3) + queued_size(6), queued_size(3) + 64));
    let (_, written) = drain(&mut buffer, 100);
    assert_eq!((written.messages, buffer.bytes()), (2, QueuedBytes::default()));
}

#[test]
fn emptied_buffer_gives_its_memory_back() {
    let fill = || {
        let mut buffer = WriteBuffer::acquire();
        (0..10_000).for_each(|_| buffer.push("".into(), false));
        buffer
    };
    let mut written = fill();
    drain(&mut written, 1_000_000);
    written.release();
    assert!(WriteBuffer::acquire().messages.capacity() <= MAX_RETAINED_CAPACITY);
    let mut discarded = fill();
    discarded.discard_unsent();
    assert!(discarded.messages.capacity() <= MAX_RETAINED_CAPACITY);
}
