//! Between the codec, which reads and writes like a blocking program, and a stream that is polled.
//!
//! Reads go through one buffer for each thread, borrowed for the length of a poll, so that a waiting connection
//! owns none: the codec takes small bites without a system call for each.

use super::boundary::Boundary;
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that one read takes from the socket at the most.
const SCRATCH: usize = 64 * 1024;
/// Reads from one socket before other tasks have their turn.
const READS_PER_POLL: u32 = 4;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stream, and between [`begin_poll`](Link::begin_poll) and [`end_poll`](Link::end_poll) the thread's scratch.
pub(super) struct Link<S> {
    stream: S,
    /// Outside a poll it holds only what the last one read and didn't use, which is rare: a session that yields
    /// or has paused reading.
    scratch: Vec<u8>,
    from: usize,
    to: usize,
    /// Reads left in this poll.
    reads: u32,
    /// How far the codec is.
    boundary: Boundary,
    /// Bytes read from the socket, early ones included.
    pub(super) bytes_in: u64,
    /// Bytes that the socket took.
    pub(super) bytes_out: u64,
}

impl<S> Link<S> {
    /// A stream whose first bytes were read already.
    pub(super) fn new(stream: S, early: &[u8]) -> Self {
        let to = early.len();
        Link {
            stream,
            scratch: early.to_vec(),
            from: 0,
            to,
            reads: 0,
            boundary: Boundary::default(),
            bytes_in: to as u64,
            bytes_out: 0,
        }
    }

    pub(super) fn begin_poll(&mut self) {
        self.reads = READS_PER_POLL;
    }

    /// Whether the codec has had whole messages only: once it has returned them, it holds nothing unread.
    pub(super) fn is_between_messages(&self) -> bool {
        self.boundary.is_between_messages()
    }

    /// Gives the thread's scratch back; what is left in it is kept apart.
    pub(super) fn end_poll(&mut self) {
        if self.scratch.len() == SCRATCH {
            let unused = self.scratch[self.from..self.to].to_vec();
            (self.from, self.to) = (0, unused.len());
            SPARE.set(std::mem::replace(&mut self.scratch, unused));
        } else if self.from == self.to {
            self.scratch = Vec::new();
            (self.from, self.to) = (0, 0);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// What a blocking codec can read and write.
    pub(super) fn wire<'a, 'b>(&'a mut self, cx: &'a mut Context<'b>) -> Wire<'a, 'b, S> {
        Wire { link: self, cx }
    }

    /// Ends our direction, and reads what still comes only to forget it, until the peer ends its own.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.stream).poll_shutdown(cx).is_pending() {
            return Poll::Pending;
        }
        loop {
            match self.fill(cx) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => self.from = self.to,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Reads once into the scratch; 0 bytes are the end of the stream.
    ///
    /// A peer that sends without end has its next turn behind the other tasks', also if what it sends makes no
    /// messages.
    fn fill(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        if self.reads == 0 {
            cx.waker().wake_by_ref();
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.reads -= 1;
        if self.scratch.len() < SCRATCH {
            self.scratch = SPARE.take();
            self.scratch.resize(SCRATCH, 0);
        }
        (self.from, self.to) = (0, 0);
        let mut buffer = ReadBuf::new(&mut self.scratch);
        ready_or_would_block(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.to = buffer.filled().len();
        self.bytes_in += self.to as u64;
        Ok(self.to)
    }
}

/// A [`Link`] during one poll: `WouldBlock` where the stream says pending, with the waker registered.
pub(super) struct Wire<'a, 'b, S> {
    link: &'a mut Link<S>,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Read for Wire<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let link = &mut *self.link;
        if link.from == link.to {
            link.fill(self.cx)?;
        }
        let bite = buffer.len().min(link.to - link.from);
        let bite = link.boundary.advance(&link.scratch[link.from..link.from + bite]);
        buffer[..bite].copy_from_slice(&link.scratch[link.from..link.from + bite]);
        link.from += bite;
        Ok(bite)
    }
}

impl<S: AsyncWrite + Unpin> Write for Wire<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = ready_or_would_block(Pin::new(&mut self.link.stream).poll_write(self.cx, bytes))?;
        self.link.bytes_out += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        ready_or_would_block(Pin::new(&mut self.link.stream).poll_flush(self.cx))
    }
}

fn ready_or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// A peer that has always more to say, and takes everything.
    struct Endless {
        reads: u32,
    }

    impl AsyncRead for Endless {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.reads += 1;
            // Empty pieces of a message that never ends.
            buffer.put_slice(&[0x00, 0x80, 0, 0, 0, 0]);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_peer_that_never_stops_has_its_turn_and_no_more() {
        let mut link = Link::new(Endless { reads: 0 }, b"");
        let mut cx = Context::from_waker(Waker::noop());
        for polls in 1..=3 {
            link.begin_poll();
            let mut wire = link.wire(&mut cx);
            while wire.read(&mut [0; 6]).is_ok() {}
            link.end_poll();
            assert_eq!(link.stream.reads, polls * READS_PER_POLL);
        }
    }

    #[test]
    fn what_a_poll_leaves_over_comes_first_in_the_next() {
        let mut link = Link::new(Endless { reads: 0 }, b"\x81\x85mask-hello");
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        for _ in 0..11 {
            link.begin_poll();
            let mut byte = [0];
            link.wire(&mut cx).read_exact(&mut byte).unwrap();
            seen.extend(byte);
            link.end_poll();
        }
        assert_eq!((seen, link.stream.reads), (b"\x81\x85mask-hello"[..11].to_vec(), 0));
        assert!(link.is_between_messages());
    }
}
