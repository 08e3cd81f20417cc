//! The session's end: the close frames, and what is counted and logged of it.

use crate::client::{CloseReason, CloseRecord, ClosedBy, Health, OutboxSnapshot};
use crate::session::{Session, State};
use crate::ws::MessageReader;
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
        if let Some(reader) = &mut self.reader {
            reader.in_flight = None;
        }
        self.context.handler.on_closing(&self.client);
        self.context.presence.leave(&self.client, &*self.context.handler);
        if self.reason() == CloseReason::Abnormal {
            return State::Ended;
        }
        if self.close_sent || state == State::Discarding || self.reason() == CloseReason::SlowConsumer {
            // What the messages before that called for goes out, as far as the socket takes it.
            self.forward_replies();
            self.client.outbox.resume(false);
            self.client.outbox.discard_unsent();
        }
        self.arm_timer(self.context.close_timeout);
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
        self.start_closing(State::Discarding)
    }

    /// The peer has closed: our close frame is the answer, and the last that it reads.
    pub(super) fn answer_close(&mut self) -> State {
        self.peer_closed = true;
        // What its messages before that called for comes before the answer.
        self.client.outbox.resume(false);
        self.send_close(None);
        self.start_closing(State::Closing)
    }

    fn send_close(&mut self, frame: Option<CloseFrame>) {
        self.close_sent = true;
        let reader = self.reader.get_or_insert_with(|| MessageReader::acquire(self.context.codec));
        reader.close(frame);
        self.client.outbox.push_control(reader.replies());
    }

    /// Sends our close frame behind what is queued, and waits for the peer's, all within `close_timeout`.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        if self.poll_timer(cx).is_ready() {
            return Poll::Ready(State::Ended);
        }
        if !self.client.outbox.is_flushed() {
            return Poll::Pending;
        }
        if !self.close_sent {
            let (reason, detail) = (self.reason(), self.client.outbox.take_detail());
            let text =
                detail.map_or(Utf8Bytes::from_static(reason.label()), |detail| format!("{reason}: {detail}").into());
            self.send_close(Some(CloseFrame { code: reason.code().into(), reason: text }));
            return Poll::Ready(self.state);
        }
        if self.peer_closed {
            self.is_clean = true;
            return Poll::Ready(State::Ended);
        }
        let reader = self.reader.get_or_insert_with(|| MessageReader::acquire(self.context.codec));
        let end = match self.state {
            State::Discarding => {
                // The peer hears that nothing more comes. A stream that can't be ended has ended.
                let _ = self.stream.shutdown_write();
                reader.poll_discard(cx, &self.stream)
            }
            _ => reader.poll_close(cx, &self.stream).map(|closed| self.is_clean = closed),
        };
        self.client.activity.add_bytes(reader.take_bytes());
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
        let state = self.client.outbox.detach();
        let stats = &self.context.stats;
        stats.sessions.sub(1);
        stats.closed.add(reason);
        let counter = if self.is_clean { &stats.closed_cleanly } else { &stats.closed_uncleanly };
        counter.add(1);
        self.client.end();
        let (client, context) = (&*self.client, &*self.context);
        context.presence.leave(client, &*context.handler);
        let closed = self.close_record(reason, &state);
        // A panic of an embedder's handler has been printed.
        let _ = catch_unwind(AssertUnwindSafe(|| context.handler.on_disconnect(client, closed.clone())));
        // Last: whoever reads it finds the rest.
        self.log(&closed, &state);
    }
}

impl Session {
    fn close_record(&self, reason: CloseReason, state: &OutboxSnapshot) -> CloseRecord {
        let client = &*self.client;
        let closed_by = match reason {
            CloseReason::Abnormal => ClosedBy::Network,
            CloseReason::Normal | CloseReason::GoingAway => ClosedBy::Client,
            CloseReason::ProtocolError if self.peer_closed => ClosedBy::Client,
            _ => ClosedBy::Gateway,
        };
        CloseRecord {
            conn_id: client.conn_id,
            auth: client.auth.clone(),
            remote_addr: client.remote_addr,
            at: SystemTime::now(),
            connected: client.connected_at.elapsed(),
            idle: client.idle(),
            health: Health::at_close(reason, state),
            reason,
            closed_by,
            round_trip: client.round_trip(),
            outbox_peak_bytes: state.outbox_peak_bytes,
        }
    }

    fn log(&self, closed: &CloseRecord, state: &OutboxSnapshot) {
        let received = self.client.received();
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
            received.messages,
            state.messages_out,
            received.bytes,
            state.bytes_out,
        );
    }
}
