use super::super::input::READ_BUFFER_BYTES;
use super::*;
use crate::budget;
use std::io::Write;
use std::os::unix::net::UnixStream as Peer;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Wake, Waker};
use tokio::net::UnixStream;

async fn connected() -> (Stream, Peer) {
    let (ours, theirs) = Peer::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Stream::Unix(UnixStream::from_std(ours).unwrap()), theirs)
}

/// A frame with a masking key of zero, which leaves the payload as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0][..], payload].concat()
}

fn poll(reader: &mut MessageReader, stream: &Stream) -> Poll<Result<Message, Error>> {
    reader.poll_message(&mut Context::from_waker(Waker::noop()), stream)
}

/// Waits for the next message.
async fn next(reader: &mut MessageReader, stream: &Stream) -> Message {
    std::future::poll_fn(|cx| reader.poll_message(cx, stream)).await.unwrap()
}

#[tokio::test]
async fn reader_is_kept_only_while_a_message_is_incomplete() {
    let (stream, mut peer) = connected().await;
    let bytes = frame(0x81, b"hello");
    let mut reader = MessageReader::acquire(codec_config(1024));
    peer.write_all(&bytes).unwrap();
    assert_eq!(next(&mut reader, &stream).await, Message::text("hello"));
    assert_eq!(reader.take_bytes(), bytes.len() as u64);
    assert!(reader.release().is_none(), "no message is incomplete");

    let mut reader = MessageReader::acquire(codec_config(1024));
    peer.write_all(&bytes[..8]).unwrap();
    while reader.take_bytes() == 0 {
        assert!(poll(&mut reader, &stream).is_pending());
        tokio::task::yield_now().await;
    }
    let mut reader = reader.release().expect("half a message is kept");
    peer.write_all(&bytes[8..]).unwrap();
    assert_eq!(next(&mut reader, &stream).await, Message::text("hello"));
    assert!(reader.release().is_none());
}

#[tokio::test]
async fn early_bytes_are_read_first_and_a_pong_stays_with_its_connection() {
    let (stream, mut peer) = connected().await;
    let both = [frame(0x81, b"early"), frame(0x89, b"ping")].concat();
    let mut reader = MessageReader::with_early(&both[..14], codec_config(1024));
    assert_eq!(poll(&mut reader, &stream).map(Result::unwrap), Poll::Ready(Message::text("early")));
    let mut reader = reader.release().expect("the ping is incomplete");
    peer.write_all(&both[14..]).unwrap();
    assert_eq!(next(&mut reader, &stream).await, Message::Ping("ping".into()));
    assert_eq!(reader.replies()[..], [&[0x8a, 4][..], b"ping"].concat(), "the pong is written at once");
    let mut reader = reader.release().expect("the pong has not been taken");
    reader.replies().clear();
    reader.take_bytes();
    assert!(reader.release().is_none());
    let mut next = MessageReader::acquire(codec_config(1024));
    assert!(poll(&mut next, &stream).is_pending());
    assert!(next.replies().is_empty(), "the next connection on this thread has no reply");
}

#[tokio::test]
async fn poll_reads_a_bounded_amount_from_a_peer_that_never_stops() {
    let (stream, mut peer) = connected().await;
    // Fragments of a message that never ends, more than one poll reads.
    let fragments = [frame(0x01, b""), frame(0x00, b"").repeat(1_000_000)].concat();
    let writer = std::thread::spawn(move || peer.write_all(&fragments));
    let mut reader = MessageReader::acquire(codec_config(1024));
    let mut limited_polls = 0;
    while limited_polls < 3 {
        assert!(poll(&mut reader, &stream).is_pending());
        // The budget ends before a buffer full of frames has been read.
        assert!(reader.take_bytes() <= READ_BUFFER_BYTES as u64);
        limited_polls += u32::from(budget::is_spent());
        reader = reader.release().unwrap_or_else(|| MessageReader::acquire(codec_config(1024)));
        tokio::task::yield_now().await;
    }
    drop(stream);
    assert!(writer.join().unwrap().is_err());
}

#[tokio::test]
async fn failed_codec_is_not_reused() {
    let (stream, mut peer) = connected().await;
    let mut reader = MessageReader::acquire(codec_config(1024));
    peer.write_all(&frame(0xf1, b"reserved bits")).unwrap();
    assert!(std::future::poll_fn(|cx| reader.poll_message(cx, &stream)).await.is_err());
    assert!(reader.release().is_some());
}

#[tokio::test]
async fn codec_of_an_ended_stream_is_not_reused() {
    let whole = frame(0x81, b"hello");
    for early in [&[][..], &whole[..8]] {
        let (stream, peer) = connected().await;
        let mut reader = MessageReader::with_early(early, codec_config(1024));
        drop(peer);
        assert!(!std::future::poll_fn(|cx| stream.poll_first_byte(cx)).await.unwrap());
        let end = poll(&mut reader, &stream);
        let is_reset = matches!(end, Poll::Ready(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))));
        assert!(is_reset, "{end:?}");
        assert!(reader.release().is_some(), "its codec is not reused");
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[tokio::test]
async fn poll_without_budget_reads_nothing_and_wakes_its_task() {
    let (stream, mut peer) = connected().await;
    let mut reader = MessageReader::acquire(codec_config(1024));
    peer.write_all(&frame(0x81, b"hello")).unwrap();
    assert!(std::future::poll_fn(|cx| stream.poll_first_byte(cx)).await.unwrap());
    budget::charge_units(usize::MAX);
    let wakes = Arc::<Wakes>::default();
    let waker = wakes.clone().into();
    assert!(reader.poll_message(&mut Context::from_waker(&waker), &stream).is_pending());
    assert_eq!((wakes.0.load(SeqCst), reader.take_bytes()), (1, 0));
    tokio::task::yield_now().await;
    assert_eq!(next(&mut reader, &stream).await, Message::text("hello"));
}
