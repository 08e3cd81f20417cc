use super::*;
use crate::ws::{WriteBuffer, Written, queued_size};
use std::future::poll_fn;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream as Peer;
use std::task::Poll;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// An outbox with room for this many messages that have this many payload bytes together.
fn outbox_with_room(messages: usize, bytes: usize) -> Outbox {
    let max_bytes = messages * queued_size(0) + bytes;
    Outbox::new(Arc::new(OutboxContext { max_bytes: max_bytes.into(), stats: Arc::default(), memory: Arc::default() }))
}

/// An outbox with a socket, and the other end of the socket.
async fn connected() -> (Outbox, Peer) {
    let (ours, theirs) = Peer::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let outbox = outbox_with_room(0, 1 << 30);
    let ours = UnixStream::from_std(ours).unwrap();
    ours.writable().await.unwrap();
    outbox.attach(Arc::new(Stream::Unix(ours)));
    (outbox, theirs)
}

/// Runs a poll of the session that does nothing.
fn park(outbox: &Outbox) -> bool {
    let signals = outbox.resume(false);
    outbox.park(Waker::noop(), signals)
}

/// The frame in which a peer receives `text`.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = match text.len() {
        short @ 0..=125 => vec![0x81, short as u8],
        medium @ 126..=0xffff => [&[0x81, 126][..], &(medium as u16).to_be_bytes()].concat(),
        long => [&[0x81, 127][..], &(long as u64).to_be_bytes()].concat(),
    };
    frame.extend(text.as_bytes());
    frame
}

#[test]
fn first_close_reason_wins() {
    let outbox = outbox_with_room(2, 8);
    assert_eq!(outbox.close(CloseReason::Kicked), CloseReason::Kicked);
    assert_eq!(outbox.close(CloseReason::Draining), CloseReason::Kicked);
    assert_eq!(outbox.send("late".into()), Err(SendError::Closed));
}

#[test]
fn send_to_full_outbox_closes_as_slow_consumer() {
    let outbox = outbox_with_room(2, 8);
    outbox.send("12345".into()).unwrap();
    assert_eq!(outbox.send("6789".into()), Err(SendError::Full));
    assert_eq!(outbox.resume(false).close, Some(CloseReason::SlowConsumer));
}

#[test]
fn outbox_bytes_fall_and_peak_stays_when_the_outbox_is_dropped() {
    let outbox = outbox_with_room(2, 8);
    let full = 2 * queued_size(4) as u64;
    outbox.send("12345".into()).unwrap();
    outbox.send("678".into()).unwrap();
    let stats = outbox.context.stats.clone();
    assert_eq!((stats.outbox_bytes.get(), stats.outbox_peak_bytes.get()), (full, full));
    drop(outbox);
    assert_eq!((stats.outbox_bytes.get(), stats.outbox_peak_bytes.get()), (0, full));
}

#[test]
fn counters_have_what_is_queued_also_when_one_rises_and_the_other_falls() {
    let outbox = outbox_with_room(10, 100_000);
    let context = &*outbox.context;
    let mut buffer = WriteBuffer::acquire();
    let mut assert_counted = |change: &mut dyn FnMut(&mut WriteBuffer)| {
        change(&mut buffer);
        state::count_queued(&mut buffer, context);
        let queued = buffer.bytes();
        let counted = (context.stats.outbox_bytes.get(), context.memory.held());
        assert_eq!(counted, (queued.all as u64, queued.own as u64));
    };
    assert_counted(&mut |buffer| buffer.push("x".repeat(10_000).into(), false));
    // The older message is written, and the larger one, whose payload is shared, partly.
    assert_counted(&mut |buffer| {
        buffer.push("y".repeat(20_000).into(), true);
        let mut calls = 0;
        let result = buffer.write(&mut Written::default(), |first, second| {
            calls += 1;
            if calls > 1 { Err(ErrorKind::WouldBlock.into()) } else { Ok(first.len() + second.len()) }
        });
        assert!(result.is_err() && buffer.messages() == 1);
    });
    assert_counted(&mut |buffer| buffer.discard_unsent());
}

#[tokio::test]
async fn session_parks_only_when_its_signals_are_unchanged() {
    let (outbox, _peer) = connected().await;
    let signals = outbox.resume(false);
    outbox.close(CloseReason::Kicked);
    assert!(!outbox.park(Waker::noop(), signals));
    assert!(park(&outbox));
}

#[tokio::test]
async fn message_to_parked_session_is_written_at_once_without_a_wake() {
    let (outbox, mut peer) = connected().await;
    peer.set_nonblocking(true).unwrap();
    assert!(park(&outbox));
    outbox.send("hello".into()).unwrap();
    let mut bytes = [0; 7];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes[..], frame("hello"));
    assert!(outbox.is_flushed() && outbox.state.lock().waker.is_some(), "the session was not woken");
}

#[tokio::test]
async fn enqueued_messages_need_one_flush_and_stay_ahead_of_later_ones() {
    let (outbox, mut peer) = connected().await;
    assert!(park(&outbox));
    assert_eq!(outbox.enqueue(Message::from("one").into()), Ok(true));
    assert_eq!(outbox.enqueue(Message::from("two").into()), Ok(false), "the flush for the first writes both");
    outbox.send("three".into()).unwrap();
    outbox.flush();
    assert_eq!(outbox.enqueue(Message::from("four").into()), Ok(true));
    outbox.flush();
    let mut bytes = [0; 64];
    let read = peer.read(&mut bytes).unwrap();
    assert_eq!(bytes[..read], ["one", "two", "three", "four"].map(frame).concat());
    assert!(outbox.is_flushed());
}

#[test]
fn enqueue_to_full_outbox_closes_as_slow_consumer() {
    let outbox = outbox_with_room(1, 8);
    assert_eq!(outbox.enqueue(Message::from("123456789").into()), Err(SendError::Full));
    assert_eq!(outbox.close_reason(), Some(CloseReason::SlowConsumer));
}

#[tokio::test]
async fn running_session_batches_until_it_parks() {
    let (outbox, mut peer) = connected().await;
    peer.set_nonblocking(true).unwrap();
    let signals = outbox.resume(false);
    outbox.send("one".into()).unwrap();
    outbox.ping();
    outbox.send("two".into()).unwrap();
    assert!(peer.read(&mut [0; 64]).is_err(), "nothing is written yet");
    assert!(outbox.park(Waker::noop(), signals));
    let mut bytes = [0; 64];
    let read = peer.read(&mut bytes).unwrap();
    assert_eq!(bytes[..read], [&[0x89, 4, 0, 0, 0, 1][..], &frame("one"), &frame("two")].concat());
}

#[tokio::test]
async fn session_without_budget_is_woken_to_write_the_rest() {
    let (outbox, peer) = connected().await;
    let signals = outbox.resume(false);
    let text = "x".repeat(100 * 1024);
    outbox.enqueue(Message::from(text.clone()).into()).unwrap();
    budget::charge_units(usize::MAX);
    let mut polls = 0;
    let session = poll_fn(|cx| {
        polls += 1;
        if polls == 2 {
            return Poll::Ready(());
        }
        assert!(outbox.park(cx.waker(), signals));
        assert!(outbox.bytes_out() > 0 && !outbox.is_flushed(), "one part is written");
        Poll::Pending
    });
    timeout(Duration::from_secs(10), session).await.expect("the session is woken");
    outbox.resume(false);
    assert!(outbox.is_flushed());
    assert_eq!(read_frames(peer, 1), [(0x81, text.into_bytes())]);
}

#[tokio::test]
async fn sender_without_budget_makes_room_while_the_socket_accepts_more() {
    let (outbox, _peer) = connected().await;
    outbox.resume(false);
    let text = "x".repeat(100 * 1024);
    let context =
        OutboxContext { max_bytes: queued_size(text.len()).into(), stats: Arc::default(), memory: Arc::default() };
    let mut state = outbox.state.lock();
    state.push(Message::from(text.clone()).into(), &context).unwrap();
    budget::charge_units(usize::MAX);
    state.push(Message::from(text).into(), &context).unwrap();
    assert_eq!(state.snapshot().messages_out, 1);
}

#[tokio::test]
async fn pong_counts_once_and_no_ping_follows_a_close() {
    let (outbox, _peer) = connected().await;
    assert!(park(&outbox));
    outbox.ping();
    assert!(outbox.snapshot().ping_sent_at.is_some());
    assert_eq!(outbox.on_pong(&[0, 0, 0, 2]), None);
    assert!(outbox.on_pong(&[0, 0, 0, 1]).is_some());
    assert_eq!((outbox.on_pong(&[0, 0, 0, 1]), outbox.snapshot().ping_sent_at), (None, None));
    outbox.close(CloseReason::Kicked);
    outbox.ping();
    assert_eq!((outbox.snapshot().ping_sent_at, outbox.is_flushed()), (None, true));
}

/// Several threads send to a peer that reads slowly, while a session writes what the socket had not accepted. Each
/// frame arrives whole and each thread's messages arrive in order, wherever partial writes ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn frames_from_concurrent_senders_arrive_whole_and_in_order() {
    const THREADS: usize = 4;
    const MESSAGES_PER_THREAD: usize = 400;
    let (outbox, peer) = connected().await;
    let sizes = [0, 1, 125, 126, 4_000, 5_000, 65_535, 65_536, 200_000];
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || read_frames(peer, THREADS * MESSAGES_PER_THREAD));
        let outbox = &outbox;
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0..MESSAGES_PER_THREAD {
                    let text = format!("{thread} {number} {}", "x".repeat(sizes[(thread + number) % sizes.len()]));
                    outbox.send(text.into()).unwrap();
                    outbox.ping();
                }
            });
        }
        // The session: parked while others write; it writes the remainder when it is polled.
        while !reader.is_finished() {
            let signals = outbox.resume(true);
            outbox.park(Waker::noop(), signals);
            std::thread::yield_now();
        }
        let mut next = [0; THREADS];
        let mut pings = 0;
        for (first_byte, payload) in reader.join().unwrap() {
            if first_byte == 0x89 {
                pings += 1;
                continue;
            }
            let text = String::from_utf8(payload).unwrap();
            let mut words = text.split(' ');
            let (thread, number): (usize, usize) =
                (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
            assert_eq!(number, next[thread], "of thread {thread}");
            assert_eq!(words.next().unwrap().len(), sizes[(thread + number) % sizes.len()]);
            next[thread] += 1;
        }
        assert_eq!(next, [MESSAGES_PER_THREAD; THREADS]);
        assert!(pings > 0, "no ping arrived");
    });
    assert_eq!(outbox.context.stats.outbox_bytes.get(), 0);
    assert_eq!(outbox.context.stats.messages_out.get(), (THREADS * MESSAGES_PER_THREAD) as u64);
}

/// Reads frames until `count` of them were messages. Returns each frame's first byte and payload.
fn read_frames(mut peer: Peer, count: usize) -> Vec<(u8, Vec<u8>)> {
    let read = |peer: &mut Peer, length: usize| {
        let mut bytes = vec![0; length];
        peer.read_exact(&mut bytes).unwrap();
        bytes
    };
    let (mut frames, mut messages) = (Vec::new(), 0);
    while messages < count {
        let header = read(&mut peer, 2);
        let length = match header[1] {
            126 => u16::from_be_bytes(read(&mut peer, 2).try_into().unwrap()).into(),
            127 => u64::from_be_bytes(read(&mut peer, 8).try_into().unwrap()) as usize,
            short => short.into(),
        };
        messages += usize::from(header[0] == 0x81);
        frames.push((header[0], read(&mut peer, length)));
    }
    frames
}

#[tokio::test]
async fn failed_write_aborts_and_does_not_count_as_blocked() {
    let (outbox, peer) = connected().await;
    assert!(park(&outbox));
    drop(peer);
    outbox.send("1".into()).unwrap();
    assert_eq!(outbox.resume(false), Signals { close: Some(CloseReason::Abnormal), abort: true, blocked: false });
    assert!(!outbox.snapshot().is_blocked);
}
