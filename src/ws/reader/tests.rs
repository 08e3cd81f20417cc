use super::*;
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

/// A masked frame; the mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0][..], payload].concat()
}

fn poll(reader: &mut MessageReader, stream: &Stream) -> Poll<Result<Message, Error>> {
    reader.poll_message(&mut Context::from_waker(Waker::noop()), stream)
}

/// The next message, once it has come.
async fn next(reader: &mut MessageReader, stream: &Stream) -> Message {
    std::future::poll_fn(|cx| reader.poll_message(cx, stream)).await.unwrap()
}

#[tokio::test]
async fn a_connection_keeps_an_inbox_only_in_the_middle_of_a_message() {
    let (stream, mut peer) = connected().await;
    let bytes = frame(0x81, b"hello");
    let mut reader = MessageReader::acquire(codec_config(1024));
    peer.write_all(&bytes).unwrap();
    assert_eq!(next(&mut reader, &stream).await, Message::text("hello"));
    assert_eq!(reader.take_bytes(), bytes.len() as u64);
    assert!(reader.release().is_none(), "between messages");

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
async fn what_came_early_comes_first() {
    let (stream, mut peer) = connected().await;
    let both = [frame(0x81, b"early"), frame(0x89, b"ping")].concat();
    let mut reader = MessageReader::with_early(&both[..14], codec_config(1024));
    assert_eq!(poll(&mut reader, &stream).map(Result::unwrap), Poll::Ready(Message::text("early")));
    let mut reader = reader.release().expect("a part of the ping");
    peer.write_all(&both[14..]).unwrap();
    assert_eq!(next(&mut reader, &stream).await, Message::Ping("ping".into()));
    assert_eq!(reader.replies()[..], [&[0x8a, 4][..], b"ping"].concat(), "answered at once, by the one who was asked");
    let mut reader = reader.release().expect("the answer isn't lost");
    reader.replies().clear();
    reader.take_bytes();
    assert!(reader.release().is_none());
    let mut next = MessageReader::acquire(codec_config(1024));
    assert!(poll(&mut next, &stream).is_pending());
    assert!(next.replies().is_empty(), "the next connection on this thread has nothing to do with it");
}

#[tokio::test]
async fn a_peer_that_never_stops_has_its_turn_and_no_more() {
    let (stream, mut peer) = connected().await;
    // Pieces of a message that never ends; more than four reads take.
    let pieces = [frame(0x01, b""), frame(0x00, b"").repeat(1_000_000)].concat();
    let writer = std::thread::spawn(move || peer.write_all(&pieces));
    let mut reader = MessageReader::acquire(codec_config(1024));
    let mut cut_short = 0;
    while cut_short < 3 {
        assert!(poll(&mut reader, &stream).is_pending());
        let bytes = reader.take_bytes();
        assert!(bytes <= u64::from(READS_PER_POLL) * READ_BUFFER_BYTES as u64);
        cut_short += u32::from(bytes > 0 && reader.input.reads == 0);
        reader = reader.release().unwrap_or_else(|| MessageReader::acquire(codec_config(1024)));
        tokio::task::yield_now().await;
    }
    drop(stream);
    assert!(writer.join().unwrap().is_err());
}

#[tokio::test]
async fn a_codec_that_has_failed_is_nobody_elses() {
    let (stream, mut peer) = connected().await;
    let mut reader = MessageReader::acquire(codec_config(1024));
    peer.write_all(&frame(0xf1, b"reserved bits")).unwrap();
    assert!(std::future::poll_fn(|cx| reader.poll_message(cx, &stream)).await.is_err());
    assert!(reader.release().is_some());
}

#[tokio::test]
async fn the_end_of_the_stream_is_read_once() {
    let whole = frame(0x81, b"hello");
    for early in [&[][..], &whole[..8]] {
        let (stream, peer) = connected().await;
        let mut reader = MessageReader::with_early(early, codec_config(1024));
        drop(peer);
        assert!(!std::future::poll_fn(|cx| stream.poll_first_byte(cx)).await.unwrap());
        let end = poll(&mut reader, &stream);
        let is_reset = matches!(end, Poll::Ready(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))));
        assert!(is_reset, "{end:?}");
        assert_eq!(reader.input.reads, READS_PER_POLL - 1);
        assert!(reader.release().is_some(), "its codec is nobody else's");
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
async fn who_has_read_enough_is_woken_again() {
    let (stream, _peer) = connected().await;
    let mut reader = MessageReader::acquire(codec_config(1024));
    reader.input.reads = 0;
    let wakes = Arc::<Wakes>::default();
    let waker = wakes.clone().into();
    assert!(reader.poll_message(&mut Context::from_waker(&waker), &stream).is_pending());
    assert_eq!(wakes.0.load(SeqCst), 1);
}
