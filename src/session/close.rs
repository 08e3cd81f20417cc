//! The end of a session: the close handshake (RFC 6455, section 7), then the counters, the record and the log line.

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
    /// Starts the close and returns the next state. What is queued is written before our close frame. But if the peer
    /// is a slow consumer, has sent its own close frame, or made the codec fail, only as much is written as the socket
    /// accepts now; the other messages are dropped.
    pub(super) fn start_closing(&mut self, state: State) -> State {
        if let Some(reader) = &mut self.reader {
            reader.in_flight = None;
            self.client.activity.end_busy();
        }
        self.context.handler.on_closing(&self.client);
        self.context.presence.leave(&self.client, &*self.context.handler);
        if self.reason() == CloseReason::Abnormal {
            return State::Ended;
        }
        if self.close_sent || state == State::Discarding || self.reason() == CloseReason::SlowConsumer {
            // The responses to earlier messages are written as far as the socket accepts them.
            self.forward_replies();
            self.client.outbox.resume(false);
            self.client.outbox.discard_unsent();
        }
        self.arm_timer(self.context.close_timeout);
        state
    }

    /// Closes the client after a read error. Returns the next state.
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

    /// Answers the peer's close frame with ours, the last frame that we send. Returns the next state.
    pub(super) fn answer_close(&mut self) -> State {
        self.peer_closed = true;
        // The responses to earlier messages are written ahead of the close frame.
        self.client.outbox.resume(false);
        self.send_close(None);
        self.start_closing(State::Closing)
    }

    /// Queues our close frame; with `None`, the codec's answer to the peer's.
    fn send_close(&mut self, frame: Option<CloseFrame>) {
        self.close_sent = true;
        let reader = self.reader.get_or_insert_with(|| MessageReader::acquire(self.context.codec_config));
        reader.close(frame);
        self.client.outbox.push_control(reader.replies());
    }

    /// Runs the close handshake: sends our close frame after what is queued, and waits for the peer's, all within
    /// `close_timeout`.
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
        let reader = self.reader.get_or_insert_with(|| MessageReader::acquire(self.context.codec_config));
        let end = match self.state {
            State::Discarding => {
                // Lets the peer read the end of the stream. This fails only if the stream has ended already.
                let _ = self.stream.shutdown_write();
                reader.poll_discard(cx, &self.stream)
            }
            _ => reader.poll_close(cx, &self.stream).map(|closed| self.is_clean = closed),
        };
        self.client.activity.add_bytes(reader.take_bytes());
        end.map(|()| State::Ended)
    }

    /// The close reason. A session without one was ended by a panic or the cancellation of its task.
    fn reason(&self) -> CloseReason {
        self.client.close_reason().unwrap_or(CloseReason::InternalError)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let reason = self.reason();
        // From now on `send` returns `Closed` to all other holders of the client.
        self.client.close(reason);
        let outbox = self.client.outbox.detach();
        let stats = &self.context.stats;
        stats.sessions.sub(1);
        stats.closed.add(reason);
        let counter = if self.is_clean { &stats.closed_cleanly } else { &stats.closed_uncleanly };
        counter.add(1);
        self.client.end();
        let (client, context) = (&*self.client, &*self.context);
        let record = self.close_record(reason, &outbox);
        // The panic hook has already reported any panic in an embedder's handler.
        let _ = catch_unwind(AssertUnwindSafe(|| context.presence.leave(client, &*context.handler)));
        let _ = catch_unwind(AssertUnwindSafe(|| context.handler.on_disconnect(client, record.clone())));
        // The log line comes last: by then the counters and the record are up to date.
        self.log(&record, &outbox);
    }
}

impl Session {
    fn close_record(&self, reason: CloseReason, outbox: &OutboxSnapshot) -> CloseRecord {
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
            health: Health::at_close(reason, outbox),
            reason,
            closed_by,
            round_trip: client.round_trip(),
            outbox_peak_bytes: outbox.outbox_peak_bytes,
        }
    }

    fn log(&self, record: &CloseRecord, outbox: &OutboxSnapshot) {
        let received = self.client.received();
        info!(
            "disconnected conn_id={} role={} presence_key={} remote_addr={} seconds={:.3} reason={} code={} clean={} \
             messages_in={} messages_out={} bytes_in={} bytes_out={}",
            record.conn_id,
            record.auth.role,
            record.auth.presence_key,
            record.remote_addr,
            record.connected.as_secs_f64(),
            record.reason,
            record.reason.code(),
            self.is_clean,
            received.messages,
            outbox.messages_out,
            received.bytes,
            outbox.bytes_out,
        );
    }
}
