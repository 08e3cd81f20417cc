//! The session's writing: gathered by the codec, flushed when there is nothing more to gather, and patient only as
//! long as the peer takes something.

use super::{LARGE_MESSAGE, Ping, Session, State, accepted, would_block};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::{Error, Message};

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn write_ping(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        self.pings = self.pings.wrapping_add(1);
        self.ping = Ping::Buffered;
        let ping = Message::Ping(self.pings.to_be_bytes().to_vec().into());
        accepted(self.with_codec(cx, |codec, wire| codec.write(wire, ping)))
    }

    /// Writes all that is queued, to the socket. `Pending` while it takes no more.
    pub(super) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_flush(cx))?;
        ready!(self.poll_write_queued(cx))?;
        self.poll_flush(cx)
    }

    /// Passes what is queued to the codec, which writes whenever it has gathered enough. Nothing leaves the outbox
    /// while the socket takes no more, so that the outbox's bounds hold.
    pub(super) fn poll_write_queued(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.blocked {
            let Some(text) = self.client.sender.pop() else { return Poll::Ready(Ok(())) };
            self.traffic.messages_out += 1;
            self.grown |= text.len() > LARGE_MESSAGE;
            match self.with_codec(cx, |codec, wire| codec.write(wire, Message::Text(text))) {
                Err(error) if would_block(&error) => self.blocked = true,
                result => result?,
            }
        }
        Poll::Pending
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.with_codec(cx, |codec, wire| codec.flush(wire)) {
            Err(error) if would_block(&error) => {
                self.blocked = true;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
            Ok(()) => {
                self.flushed();
                Poll::Ready(Ok(()))
            }
        }
    }

    fn flushed(&mut self) {
        self.blocked = false;
        self.owed_pongs = 0;
        if self.ping == Ping::Buffered {
            self.ping = Ping::Sent;
            self.client.ping_sent();
            self.context.stats.pings_sent.add(1);
        }
        if self.state == State::Open {
            self.patience = None;
        }
    }

    /// Ready when a blocked write has made no progress for `write_timeout`.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.patience.is_none() || self.progress != self.link.bytes_out {
            self.progress = self.link.bytes_out;
            self.wait(self.context.write_timeout);
        }
        self.poll_patience(cx)
    }
}

impl<S> Session<S> {
    /// (Re)arms the one timer that a blocked or closing session has.
    pub(super) fn wait(&mut self, duration: Duration) {
        match &mut self.patience {
            Some(sleep) => sleep.as_mut().reset(Instant::now() + duration),
            None => self.patience = Some(Box::pin(sleep(duration))),
        }
    }

    pub(super) fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.patience {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
