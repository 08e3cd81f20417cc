//! The end of a session: the close handshake (RFC 6455, section 7), then the counters, the record and the log line.

use crate::client::{CloseDetail, CloseReason, CloseRecord, ClosedBy, Health, OutboxSnapshot};
use crate::session::{Session, State};
use crate::ws::{MessageReader, Stream};
use log::info;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

impl Session {
    /// Starts the close and returns the next state. What is queued is written before our close frame, except to a slow
    /// consumer, whose messages are dropped.
    pub(super) fn start_closing(&mut self, state: State) -> State {
        if let Some(reader) = &mut self.reader {
            reader.in_flight = None;
            // What is read from now on is dropped.
            reader.set_max_held(u64::MAX);
            self.client.activity.end_busy();
        }
        self.context.handler.on_closing(&self.client);
        self.context.presence.leave(&self.client, &*self.context.handler);
        match self.reason() {
            // An embedder's request: 1006 is never sent.
            CloseReason::Abnormal if state == State::Closing => return State::Aborted,
            CloseReason::SlowConsumer => self.client.outbox.discard_unsent(),
            CloseReason::Overloaded => {
                // Returns the memory at once: the unfinished message, too, so no more can be decoded.
                self.client.outbox.discard_unsent();
                self.reader = None;
                self.arm_timer(self.context.limits.close_timeout.get());
                return if state == State::Closing { State::Discarding } else { state };
            }
            _ => {}
        }
        self.forward_replies();
        self.arm_timer(self.context.limits.close_timeout.get());
        state
    }

    /// Closes the client after a read error. Returns the next state.
    pub(super) fn fail(&mut self, error: Error) -> State {
        let (reason, state) = match error {
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => (CloseReason::Abnormal, State::Flushing),
            Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed => (CloseReason::Abnormal, State::Aborted),
            Error::Protocol(_) => (CloseReason::ProtocolError, State::Discarding),
            Error::Capacity(_) => (CloseReason::MessageTooBig, State::Discarding),
            Error::Utf8(_) => (CloseReason::InvalidPayload, State::Discarding),
            _ => (CloseReason::InternalError, State::Discarding),
        };
        self.client.close(reason);
        self.start_closing(state)
    }

    /// Runs the close handshake: writes what is queued and then our close frame, and waits for the peer's, all within
    /// `close_timeout`.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        if self.poll_timer(cx).is_ready() {
            return Poll::Ready(self.state_after_timeout());
        }
        // Input is read also before the close frame is written: a peer that is still sending may read only after that.
        let mut input_ended = false;
        match self.state {
            State::Discarding => input_ended = self.poll_input(cx, MessageReader::poll_discard).is_ready(),
            State::Closing if !self.close_sent && !self.peer_closed => {
                match self.poll_input(cx, MessageReader::poll_close) {
                    Poll::Ready(true) => self.peer_closed = true,
                    Poll::Ready(false) => return Poll::Ready(State::Discarding),
                    Poll::Pending => {}
                }
                // Pongs, which the close makes useless.
                self.reader.iter_mut().for_each(|reader| reader.replies().clear());
            }
            _ => {}
        }
        if !self.client.outbox.is_flushed() {
            return Poll::Pending;
        }
        if self.state == State::Flushing {
            return Poll::Ready(State::Ended);
        }
        if !self.close_sent {
            self.send_close();
            return Poll::Ready(self.state);
        }
        if self.peer_closed {
            self.is_clean = true;
            return Poll::Ready(State::Ended);
        }
        if self.state == State::Discarding {
            // Lets the peer read the end of the stream. This fails only if the stream has ended already.
            let _ = self.stream.shutdown_write();
            return if input_ended { Poll::Ready(State::Ended) } else { Poll::Pending };
        }
        self.poll_input(cx, MessageReader::poll_close).map(|closed| {
            self.is_clean = closed;
            State::Ended
        })
    }

    /// The state of a peer that didn't finish the close in time. If it has probably read everything and only doesn't
    /// answer our close frame, it isn't reset: that could make it lose the frame.
    fn state_after_timeout(&mut self) -> State {
        let is_unread = matches!(self.reason(), CloseReason::SlowConsumer | CloseReason::PongTimeout);
        let is_written = self.close_sent && self.client.outbox.is_flushed();
        if is_written && !is_unread { State::Ended } else { State::Aborted }
    }

    /// Queues our close frame, the last frame that we send: an answer with the peer's code if its close frame ended the
    /// session, else our own reason.
    fn send_close(&mut self) {
        self.close_sent = true;
        let (reason, detail) = (self.reason(), self.client.outbox.close_text());
        let is_answer = self.closed_by(reason) == ClosedBy::Client;
        let reader = self.reader.get_or_insert_with(|| MessageReader::acquire(self.context.limits.codec_config()));
        if is_answer {
            reader.answer_close();
        } else {
            let text = match &*detail {
                "" => Utf8Bytes::from_static(reason.label()),
                detail => format!("{reason}: {detail}").into(),
            };
            reader.close(CloseFrame { code: reason.code().into(), reason: text });
        }
        self.client.outbox.push_control(reader.replies());
    }

    /// Reads input with `poll`, and counts its bytes.
    fn poll_input<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut MessageReader, &mut Context<'_>, &Stream) -> Poll<T>,
    ) -> Poll<T> {
        let reader = self.reader.get_or_insert_with(|| MessageReader::acquire(self.context.limits.codec_config()));
        let result = poll(reader, cx, &self.stream);
        self.client.activity.add_bytes(reader.take_bytes());
        result
    }

    /// The close reason. A session without one was ended by a panic or the cancellation of its task.
    fn reason(&self) -> CloseReason {
        self.client.close_reason().unwrap_or(CloseReason::InternalError)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.state != State::Ended {
            self.stream.reset_on_drop();
        }
        self.client.sub_held(self.accounted as usize);
        let reason = self.reason();
        // From now on `send` returns `Closed` to all other holders of the client.
        self.client.close(reason);
        let (outbox, detail) = self.client.outbox.detach();
        let stats = &self.context.stats;
        stats.sessions.sub(1);
        stats.closed.add(reason);
        let counter = if self.is_clean { &stats.closed_cleanly } else { &stats.closed_uncleanly };
        counter.add(1);
        let record = self.close_record(reason, &outbox, detail);
        // The panic hook has already reported any panic in an embedder's handler.
        let _ = catch_unwind(AssertUnwindSafe(|| self.context.handler.on_ended(&record)));
        self.client.end();
        let (client, context) = (&*self.client, &*self.context);
        let _ = catch_unwind(AssertUnwindSafe(|| context.presence.leave(client, &*context.handler)));
        let _ = catch_unwind(AssertUnwindSafe(|| context.handler.on_disconnect(client, &record)));
        // The log line comes last: by then the counters and the record are up to date.
        self.log(&record, &outbox);
    }
}

impl Session {
    /// Who ended the connection. The peer's close frame decides only if it came before a request of ours to close.
    fn closed_by(&self, reason: CloseReason) -> ClosedBy {
        match reason {
            CloseReason::Abnormal => ClosedBy::Network,
            CloseReason::Normal | CloseReason::GoingAway | CloseReason::ProtocolError if self.peer_closed => {
                ClosedBy::Client
            }
            _ => ClosedBy::Gateway,
        }
    }

    fn close_record(&self, reason: CloseReason, outbox: &OutboxSnapshot, detail: Option<CloseDetail>) -> CloseRecord {
        let client = &*self.client;
        CloseRecord {
            conn_id: client.conn_id,
            auth: client.auth.clone(),
            remote_addr: client.remote_addr,
            at: SystemTime::now(),
            connected: client.connected_at.elapsed(),
            idle: client.idle(),
            health: Health::at_close(reason, outbox),
            reason,
            closed_by: self.closed_by(reason),
            round_trip: client.round_trip(),
            outbox_peak_bytes: outbox.outbox_peak_bytes,
            detail,
        }
    }

    fn log(&self, record: &CloseRecord, outbox: &OutboxSnapshot) {
        let received = self.client.received();
        let text = record.detail.as_ref().map(|detail| &*detail.text).filter(|text| !text.is_empty());
        let detail = text.map(|text| format!(" detail={text:?}")).unwrap_or_default();
        info!(
            "disconnected conn_id={} role={} presence_key={} remote_addr={} seconds={:.3} reason={} code={} clean={} \
             messages_in={} messages_out={} bytes_in={} bytes_out={}{detail}",
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
