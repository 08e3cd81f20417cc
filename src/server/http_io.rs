//! The IO of an HTTP connection: the stream as hyper uses it.

use super::http_state::HttpState;
use crate::ws::Stream;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that reports to its connection's [`HttpState`] whether hyper still has bytes to write.
pub struct HttpIo {
    pub stream: Stream,
    /// Bytes that were received with a PROXY protocol header, and that are read first.
    early: Vec<u8>,
    http: Arc<HttpState>,
}

impl HttpIo {
    /// The IO of the connection with this state.
    pub fn new(stream: Stream, early: Vec<u8>, http: Arc<HttpState>) -> Self {
        HttpIo { stream, early, http }
    }
}

impl AsyncRead for HttpIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.early.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let length = this.early.len().min(buffer.remaining());
        buffer.put_slice(&this.early[..length]);
        this.early.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HttpIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        // After a write of only some of the bytes, hyper writes the others at once.
        this.http.set_blocked(written.is_pending());
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper flushes once it has written all that it has.
        this.http.on_flushed();
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
