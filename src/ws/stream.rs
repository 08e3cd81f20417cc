//! A connection's byte stream, over TCP or a Unix socket.
//!
//! The methods of [`Stream`] itself take a shared reference: a client's session reads, and any task that holds its
//! outbox lock writes.

use socket2::SockRef;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// An accepted connection.
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// Evaluates `$call` with the stream's socket.
macro_rules! on_socket {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            Stream::Unix($socket) => $call,
        }
    };
}

impl Stream {
    /// Waits until the peer has sent a byte or closed, and consumes nothing. Returns whether there is a byte.
    pub fn poll_first_byte(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut byte = [MaybeUninit::uninit()];
        loop {
            ready!(on_socket!(self, socket => socket.poll_read_ready(cx)))?;
            let mut peek = |socket: SockRef<'_>| socket.peek(&mut byte);
            match on_socket!(self, socket => socket.try_io(Interest::READABLE, || peek(SockRef::from(socket)))) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                peeked => return Poll::Ready(peeked.map(|length| length > 0)),
            }
        }
    }

    /// Writes as much as the socket accepts without blocking, and drops the remainder and any error.
    pub fn write_best_effort(&self, bytes: &[u8]) {
        // The connection is closed next, whether or not the peer receives this.
        let _ = self.try_write(bytes, &[]);
    }

    /// Reads once; 0 bytes are the end of the stream.
    ///
    /// A short read clears the readiness, as in tokio's own streams, which saves the system call that would return
    /// `WouldBlock`. But a read also ends at urgent data (RFC 9293, section 3.8.5) and at passed descriptors, and what
    /// follows those causes no further event. So a caller that `expects_more`, because it has part of a message, reads
    /// again although the socket isn't ready.
    pub fn poll_read_once(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        expects_more: bool,
    ) -> Poll<io::Result<usize>> {
        while on_socket!(self, socket => socket.poll_read_ready(cx))?.is_ready() {
            match self.try_read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
        if !expects_more {
            return Poll::Pending;
        }
        match on_socket!(self, socket => (&*SockRef::from(socket)).read(buffer)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut short = None;
        let result = on_socket!(self, socket => socket.try_io(Interest::READABLE, || {
            let n = (&*SockRef::from(socket)).read(buffer)?;
            if 0 < n && n < buffer.len() {
                // `try_io` clears the readiness on this error.
                short = Some(n);
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(n)
        }));
        short.map_or(result, Ok)
    }

    /// Writes two consecutive slices, as far as the socket accepts them. Returns the number of bytes written.
    ///
    /// # Errors
    /// `WouldBlock` when the socket accepts nothing; any other error means that the transport is broken.
    pub fn try_write(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        if second.is_empty() {
            return on_socket!(self, socket => socket.try_write(first));
        }
        on_socket!(self, socket => socket.try_write_vectored(&[IoSlice::new(first), IoSlice::new(second)]))
    }

    /// Waits until the socket accepts data again.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_socket!(self, socket => socket.poll_write_ready(cx))
    }

    /// Makes dropping the stream reset the connection: the kernel then doesn't keep the bytes that the peer hasn't read
    /// (it could try to send them for minutes), and the peer doesn't take the end of the stream for an orderly one.
    pub fn reset_on_drop(&self) {
        // Fails only if the connection has ended already. A Unix socket keeps nothing and ignores this.
        let _ = on_socket!(self, socket => SockRef::from(socket).set_linger(Some(Duration::ZERO)));
    }

    /// Shuts down the write half: the peer reads the end of the stream.
    pub fn shutdown_write(&self) -> io::Result<()> {
        on_socket!(self, socket => SockRef::from(socket).shutdown(Shutdown::Write))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_socket!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_socket!(self.get_mut(), socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_socket!(self.get_mut(), socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_socket!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(cx))
    }
}
