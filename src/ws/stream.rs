//! A connection's byte stream, over TCP or a Unix socket.
//!
//! What a session needs works through a shared reference: one task reads, whoever holds the client's lock writes.

use socket2::SockRef;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// An accepted connection.
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// Calls a method of whichever stream it is.
macro_rules! either {
    ($stream:expr, $either:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($either) => $call,
            Stream::Unix($either) => $call,
        }
    };
}

impl Stream {
    /// Waits for the first byte, or the end, and leaves it there: whether there is one.
    pub(crate) fn poll_first_byte(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut byte = [MaybeUninit::uninit()];
        loop {
            ready!(either!(self, socket => socket.poll_read_ready(cx)))?;
            let mut peek = |socket: SockRef<'_>| socket.peek(&mut byte);
            match either!(self, socket => socket.try_io(Interest::READABLE, || peek(SockRef::from(socket)))) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                peeked => return Poll::Ready(peeked.map(|length| length > 0)),
            }
        }
    }

    /// Writes what the socket takes at once, and forgets the rest.
    pub(crate) fn write_best_effort(&self, bytes: &[u8]) {
        // The peer is told out of courtesy: it is dropped whether it hears it or not.
        let _ = self.try_write(bytes, &[]);
    }

    /// Reads once; 0 bytes are the end of the stream.
    ///
    /// A short read has emptied the socket, but for urgent data and passed descriptors, which no WebSocket client sends:
    /// there is no second system call only to hear that. Tokio's own streams read so too.
    pub(crate) fn poll_read_once(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(either!(self, socket => socket.poll_read_ready(cx)))?;
            match self.try_read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut short = None;
        let read = either!(self, socket => socket.try_io(Interest::READABLE, || {
            let read = (&*SockRef::from(socket)).read(buffer)?;
            if 0 < read && read < buffer.len() {
                // The way to say that the socket isn't readable any more.
                short = Some(read);
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(read)
        }));
        short.map_or(read, Ok)
    }

    /// Writes two pieces, one behind the other, as much as the socket takes: `WouldBlock` when it takes nothing.
    pub(crate) fn try_write(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        if second.is_empty() {
            return either!(self, socket => socket.try_write(first));
        }
        either!(self, socket => socket.try_write_vectored(&[IoSlice::new(first), IoSlice::new(second)]))
    }

    /// Waits until the socket takes something again.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_write_ready(cx))
    }

    /// Ends our direction.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        either!(self, socket => SockRef::from(socket).shutdown(Shutdown::Write))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(cx))
    }
}
