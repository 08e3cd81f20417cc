//! A connection's byte stream, over TCP or a Unix socket.

use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// An accepted connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Waits for the first byte, or the end, and leaves it there: whether there is one.
    pub(super) async fn first_byte(&self) -> io::Result<bool> {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match self {
            Stream::Tcp(tcp) => tcp.async_io(Interest::READABLE, || SockRef::from(tcp).peek(&mut byte)).await,
            Stream::Unix(unix) => unix.async_io(Interest::READABLE, || SockRef::from(unix).peek(&mut byte)).await,
        };
        peeked.map(|length| length > 0)
    }

    /// Writes what the socket takes at once, and forgets the rest.
    pub(super) fn write_at_once(&self, bytes: &[u8]) {
        // The peer is told out of courtesy: it is dropped whether it hears it or not.
        let _ = match self {
            Stream::Tcp(tcp) => tcp.try_write(bytes),
            Stream::Unix(unix) => unix.try_write(bytes),
        };
    }
}

/// Calls a method of whichever stream it is.
macro_rules! on_either {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).$method($($argument),*),
            Stream::Unix(unix) => Pin::new(unix).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_either!(self, poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_either!(self, poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, poll_shutdown(cx))
    }
}
