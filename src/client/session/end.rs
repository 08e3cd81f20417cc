//! The session's end: the close frames, and what is counted and logged of it.

use super::{Session, State, accepted, would_block};
use crate::client::CloseReason;
use log::info;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Begins the end. What is still queued goes out first, but for a peer that doesn't take it or has closed.
    pub(super) fn start_closing(&mut self, state: State) -> State {
        if self.reason() == CloseReason::Abnormal {
            return State::Ended;
        }
        if self.close_sent || state == State::Failing || self.reason() == CloseReason::SlowConsumer {
            self.client.sender.clear();
        }
        self.wait(self.context.close_timeout);
        state
    }

    /// The state in which a failure of reading or writing ends.
    pub(super) fn fail(&mut self, error: Error) -> State {
        let reason = match error {
            Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed => CloseReason::Abnormal,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CloseReason::Abnormal,
            Error::Protocol(_) => CloseReason::ProtocolError,
            Error::Capacity(_) => CloseReason::MessageTooBig,
            Error::Utf8(_) => CloseReason::InvalidPayload,
            _ => CloseReason::InternalError,
        };
        self.client.close(reason);
        self.start_closing(State::Failing)
    }

    /// Sends our close frame behind what is queued, and waits for the peer's, all within `close_timeout`.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        if self.poll_patience(cx).is_ready() {
            return Poll::Ready(State::Ended);
        }
        if !self.close_sent {
            if ready!(self.poll_write_out(cx)).is_err() {
                return Poll::Ready(State::Ended);
            }
            self.close_sent = true;
            let frame = close_frame(self.reason());
            if accepted(self.with_codec(cx, |codec, wire| codec.close(wire, Some(frame)))).is_err() {
                return Poll::Ready(State::Ended);
            }
        }
        match ready!(self.poll_flush(cx)) {
            Ok(()) => {}
            // The peer closed first, and has our answer.
            Err(Error::ConnectionClosed) => self.clean = true,
            Err(_) => return Poll::Ready(State::Ended),
        }
        if self.clean {
            return Poll::Ready(State::Ended);
        }
        if self.state == State::Failing {
            return self.link.poll_discard(cx).map(|()| State::Ended);
        }
        self.poll_peers_close(cx)
    }

    /// Reads on, forgetting what comes, until the peer's close frame.
    fn poll_peers_close(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        loop {
            match self.with_codec(cx, |codec, wire| codec.read(wire)) {
                Ok(Message::Close(_)) => {
                    self.clean = true;
                    return Poll::Ready(State::Ended);
                }
                Ok(_) => {}
                Err(error) if would_block(&error) => return Poll::Pending,
                Err(_) => return Poll::Ready(State::Ended),
            }
        }
    }
}

impl<S> Session<S> {
    /// Why it ends; what has no reason of its own ends by a panic or a cancelled task.
    pub(super) fn reason(&self) -> CloseReason {
        self.client.close_reason().unwrap_or(CloseReason::InternalError)
    }
}

impl<S> Drop for Session<S> {
    fn drop(&mut self) {
        self.publish();
        let reason = self.reason();
        // From here on whoever still holds the client is told that it is gone.
        self.client.close(reason);
        self.client.sender.clear();
        self.context.stats.closed.add(reason.label());
        let stats = &self.context.stats;
        if self.clean {
            stats.closed_cleanly.add(1)
        } else {
            stats.cut.add(1)
        }
        let (client, traffic) = (&*self.client, &self.traffic);
        info!(
            "disconnected conn_id={} role={} presence_key={} remote_addr={} seconds={:.3} reason={} code={} clean={} \
             messages_in={} messages_out={} bytes_in={} bytes_out={}",
            client.conn_id,
            client.role,
            client.presence_key,
            client.remote_addr,
            client.connected_at.elapsed().as_secs_f64(),
            reason,
            reason.code(),
            self.clean,
            traffic.messages_in,
            traffic.messages_out,
            traffic.bytes_in,
            traffic.bytes_out,
        );
    }
}

fn close_frame(reason: CloseReason) -> CloseFrame {
    CloseFrame { code: reason.code().into(), reason: Utf8Bytes::from_static(reason.label()) }
}
