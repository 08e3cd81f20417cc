//! The session's end: the close frames, and what is counted and logged of it.

use super::{Session, State};
use crate::client::inbox::Inbox;
use crate::client::{CloseReason, Closed, Health, SenderState, Side};
use log::info;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

impl Session {
    /// Begins the end. What is still queued goes out first, but for a peer that doesn't take it or has closed.
    pub(super) fn start_closing(&mut self, state: State) -> State {
        if let Some(inbox) = &mut self.inbox {
            inbox.rest = None;
        }
        self.context.handler.on_closing(&self.client);
        self.context.presence.leave(&self.client, &*self.context.handler);
        if self.reason() == CloseReason::Abnormal {
            return State::Ended;
        }
        if self.close_sent || state == State::Failing || self.reason() == CloseReason::SlowConsumer {
            // What the messages before that called for goes out, as far as the socket takes it.
            self.forward_replies();
            self.client.sender.begin(false);
            self.client.sender.clear();
        }
        self.wait(self.context.close_timeout);
        state
    }

    /// The state in which a failure of reading ends.
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

    /// The peer has closed: our close frame is the answer, and the last that it reads.
    pub(super) fn answer_close(&mut self) -> State {
        self.peer_closed = true;
        // What its messages before that called for comes before the answer.
        self.client.sender.begin(false);
        self.send_close(None);
        self.start_closing(State::Closing)
    }

    fn send_close(&mut self, frame: Option<CloseFrame>) {
        self.close_sent = true;
        let inbox = self.inbox.get_or_insert_with(|| Inbox::spare(self.context.codec));
        inbox.close(frame);
        self.client.sender.control(inbox.replies());
    }

    /// Sends our close frame behind what is queued, and waits for the peer's, all within `close_timeout`.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        if self.poll_patience(cx).is_ready() {
            return Poll::Ready(State::Ended);
        }
        if !self.client.sender.is_flushed() {
            return Poll::Pending;
        }
        if !self.close_sent {
            let (reason, note) = (self.reason(), self.client.sender.take_note());
            let text = note.map_or(Utf8Bytes::from_static(reason.label()), |note| format!("{reason}: {note}").into());
            self.send_close(Some(CloseFrame { code: reason.code().into(), reason: text }));
            return Poll::Ready(self.state);
        }
        if self.peer_closed {
            self.is_clean = true;
            return Poll::Ready(State::Ended);
        }
        let inbox = self.inbox.get_or_insert_with(|| Inbox::spare(self.context.codec));
        let end = match self.state {
            State::Failing => {
                // The peer hears that nothing more comes. A stream that can't be ended has ended.
                let _ = self.stream.end();
                inbox.poll_discard(cx, &self.stream)
            }
            _ => inbox.poll_close(cx, &self.stream).map(|closed| self.is_clean = closed),
        };
        self.client.received.add_bytes(inbox.take_bytes());
        end.map(|()| State::Ended)
    }

    /// Why it ends; what has no reason of its own ends by a panic or a cancelled task.
    fn reason(&self) -> CloseReason {
        self.client.close_reason().unwrap_or(CloseReason::InternalError)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let reason = self.reason();
        // From here on whoever still holds the client is told that it is gone.
        self.client.close(reason);
        let state = self.client.sender.end();
        let stats = &self.context.stats;
        stats.sessions.sub(1);
        stats.closed.add(reason.label());
        let counter = if self.is_clean { &stats.closed_cleanly } else { &stats.cut };
        counter.add(1);
        self.client.end();
        let (client, context) = (&*self.client, &*self.context);
        context.presence.leave(client, &*context.handler);
        let closed = self.closed(reason, &state);
        // A panic of an embedder's handler has been printed.
        let _ = catch_unwind(AssertUnwindSafe(|| context.handler.on_disconnect(client, closed.clone())));
        // Last: whoever reads it finds the rest.
        self.log(&closed, &state);
    }
}

impl Session {
    fn closed(&self, reason: CloseReason, state: &SenderState) -> Closed {
        let client = &*self.client;
        let side = match reason {
            CloseReason::Abnormal => Side::Network,
            CloseReason::Normal | CloseReason::GoingAway => Side::Client,
            CloseReason::ProtocolError if self.peer_closed => Side::Client,
            _ => Side::Gateway,
        };
        Closed {
            conn_id: client.conn_id,
            auth: client.auth.clone(),
            remote_addr: client.remote_addr,
            at: SystemTime::now(),
            connected: client.connected_at.elapsed(),
            idle: client.idle(),
            health: Health::at_the_end(reason, state),
            reason,
            side,
            round_trip: client.round_trip(),
            outbox_highest_bytes: state.outbox_highest_bytes,
        }
    }

    fn log(&self, closed: &Closed, state: &SenderState) {
        let (messages_in, bytes_in) = self.client.received();
        info!(
            "disconnected conn_id={} role={} presence_key={} remote_addr={} seconds={:.3} reason={} code={} clean={} \
             messages_in={} messages_out={} bytes_in={} bytes_out={}",
            closed.conn_id,
            closed.auth.role,
            closed.auth.presence_key,
            closed.remote_addr,
            closed.connected.as_secs_f64(),
            closed.reason,
            closed.reason.code(),
            self.is_clean,
            messages_in,
            state.messages_out,
            bytes_in,
            state.bytes_out,
        );
    }
}
