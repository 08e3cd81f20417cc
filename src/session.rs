//! A client's session: reads its messages, hands them to the `Handler`, and runs the close handshake.
//!
//! Only the session reads or shuts down the stream; any task may write to it through the outbox. Dropping the
//! [`Session`], for any reason, removes the client from the registry, and counts and logs the end of the connection.

mod close;
mod limits;
mod memory;
mod throttle;

use crate::budget;
use crate::client::{CloseDetail, CloseReason, Handler, Message, ReadState, SessionStats, Signals};
use crate::config::Limits;
use crate::registry::{Presence, Registration};
use crate::ws::{MessageReader, Stream};
use limits::SessionLimits;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use throttle::Throttle;
use tokio::time::{Instant, Sleep, sleep};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The detail of [`CloseReason::SlowConsumer`] if the socket accepted nothing for too long.
const WRITE_TIMED_OUT: &str = "over limits.write_timeout";

/// What all sessions of a gateway share.
pub struct SessionContext {
    handler: Arc<dyn Handler>,
    presence: Arc<Presence>,
    stats: Arc<SessionStats>,
    limits: SessionLimits,
}

impl SessionContext {
    /// The context of sessions that hand messages to `handler`, join `presence`, count in `stats` and obey `limits`.
    pub fn new(handler: Arc<dyn Handler>, presence: Arc<Presence>, stats: Arc<SessionStats>, limits: &Limits) -> Self {
        SessionContext { handler, presence, stats, limits: SessionLimits::new(limits) }
    }

    /// Sets other limits, also for the sessions that are open. A message that is being received keeps its limit.
    pub fn set_limits(&self, limits: &Limits) {
        self.limits.set(limits);
    }
}

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Reads and handles messages.
    Open,
    /// Writes what is queued, then our close frame, then waits for the peer's unless that came first.
    Closing,
    /// The codec has failed (a protocol violation, a message that is too big), so no more bytes can be decoded. Writes
    /// what is queued and our close frame, and discards what is received: closing a socket with unread bytes would
    /// reset the connection, and the peer might not get the frame.
    Discarding,
    /// The peer has ended its stream without a close frame. Writes what is queued, and no close frame.
    Flushing,
    /// The connection has ended.
    Ended,
    /// The connection was aborted, so it is reset.
    Aborted,
}

/// One open WebSocket connection: a future that is ready when the connection has ended.
pub struct Session {
    stream: Arc<Stream>,
    context: Arc<SessionContext>,
    client: Registration,
    /// Kept between polls only while a message is incomplete, unread or being handled, or after the codec has failed or
    /// closed.
    reader: Option<Box<MessageReader>>,
    /// Set while the socket accepts no more, while reading is paused for the client's rate, and from the start of the
    /// close.
    timer: Option<Pin<Box<Sleep>>>,
    /// The outbox's `bytes_out` when the timer was last armed for a blocked socket.
    bytes_out_seen: u64,
    /// Kept from the first message on if there is a limit on the rate.
    throttle: Option<Box<Throttle>>,
    /// Bytes of the reader that are in the account of memory. The configuration limits them to below 4 GiB.
    accounted: u32,
    state: State,
    /// Our close frame is in the outbox or sent.
    close_sent: bool,
    /// The peer sent its close frame first, and ours answers it.
    peer_closed: bool,
    /// Both sides have sent a close frame.
    is_clean: bool,
}

impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.client.received();
        let poll = self.poll_inner(cx);
        self.reader = self.reader.take().and_then(MessageReader::release);
        self.account_reader();
        let after = self.client.received();
        self.context.stats.messages_in.add(after.messages - before.messages);
        self.context.stats.bytes_in.add(after.bytes - before.bytes);
        poll
    }
}

impl Session {
    /// Starts a session over an upgraded stream. `early` holds the bytes that were read from it with the opening
    /// handshake.
    pub fn new(stream: Stream, early: &[u8], client: Registration, context: Arc<SessionContext>) -> Self {
        let reader = (!early.is_empty()).then(|| MessageReader::with_early(early, context.limits.codec_config()));
        let stream = Arc::new(stream);
        client.outbox.attach(stream.clone());
        context.stats.peak_sessions.observe(context.stats.sessions.add(1));
        context.stats.bytes_in.add(early.len() as u64);
        client.activity.add_bytes(early.len() as u64);
        let session = Session {
            stream,
            context,
            client,
            reader,
            timer: None,
            bytes_out_seen: 0,
            throttle: None,
            accounted: 0,
            state: State::Open,
            close_sent: false,
            peer_closed: false,
            is_clean: false,
        };
        // If one of these calls panics, dropping the session undoes everything done so far.
        let (client, context) = (&*session.client, &*session.context);
        context.presence.join(client, &*context.handler);
        context.handler.on_connect(client);
        session
    }

    /// Runs until nothing makes progress and the session is parked: the outbox has its waker. `Ready` when the
    /// connection has ended.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut is_writable = false;
        loop {
            let signals = self.client.outbox.resume(std::mem::take(&mut is_writable));
            if signals.abort {
                self.state = State::Aborted;
            }
            if matches!(self.state, State::Ended | State::Aborted) {
                return Poll::Ready(());
            }
            if signals.blocked
                && let Poll::Ready(writable) = self.stream.poll_writable(cx)
            {
                is_writable = writable.is_ok();
                if !is_writable {
                    // The runtime is shutting down.
                    return Poll::Ready(());
                }
                continue;
            }
            let step = match self.state {
                State::Open if signals.close.is_some() => Poll::Ready(self.start_closing(State::Closing)),
                State::Open => self.poll_open(cx, signals),
                _ => self.poll_close(cx),
            };
            match step {
                Poll::Ready(state) => self.state = state,
                Poll::Pending if self.client.outbox.park(cx.waker(), signals) => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }

    /// Checks the write timeout of a blocked socket, then reads messages. `Ready` with the next state, which may be the
    /// same.
    fn poll_open(&mut self, cx: &mut Context<'_>, signals: Signals) -> Poll<State> {
        if signals.blocked {
            if self.poll_write_timeout(cx).is_ready() {
                let detail = CloseDetail { requested_by: None, text: WRITE_TIMED_OUT.into() };
                self.client.outbox.close_with(CloseReason::SlowConsumer, detail);
                return Poll::Ready(State::Open);
            }
        } else if self.timer.take().is_some() {
            // The peer has caught up. Reading may have been paused, so count this as activity.
            self.client.mark_active();
        }
        let result = self.poll_read_messages(cx, signals);
        self.forward_replies();
        result
    }

    /// Reads and handles messages until the task's coop budget is spent; the responses are batched in the outbox. While
    /// the socket is blocked, reading continues until the outbox is half full, so that the responses to a client's own
    /// requests can't fill it.
    fn poll_read_messages(&mut self, cx: &mut Context<'_>, signals: Signals) -> Poll<State> {
        loop {
            match self.client.outbox.read_state() {
                ReadState::Open => {}
                ReadState::Paused => {
                    // While reading is paused, the client's pongs aren't read either. `write_timeout` closes a client
                    // that stays blocked.
                    self.client.activity.set_busy();
                    return Poll::Pending;
                }
                ReadState::Closing => return Poll::Ready(State::Open),
            }
            if let Some(paused) = self.poll_rate(cx, signals) {
                return paused;
            }
            if budget::is_spent() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let reader = self.reader.get_or_insert_with(|| MessageReader::acquire(self.context.limits.codec_config()));
            if reader.in_flight.is_some() {
                if self.poll_in_flight(cx).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            if let Some(paused) = self.poll_memory(cx, signals) {
                return paused;
            }
            let reader = self.reader.as_mut().expect("it was acquired above");
            let polled = reader.poll_message(cx, &self.stream);
            // Only after the read: until then a pong may wait in the socket, and the heartbeat must not treat the
            // client as silent.
            self.client.activity.end_busy();
            let bytes = reader.take_bytes();
            self.client.activity.add_bytes(bytes);
            self.count_rate(bytes, &polled);
            if bytes > 0 || polled.is_ready() {
                self.client.mark_active();
            }
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(self.fail(error)),
                Poll::Ready(Ok(message)) => {
                    budget::charge(1);
                    if let Some(state) = self.handle(message) {
                        return Poll::Ready(state);
                    }
                }
            }
        }
    }

    /// Handles one message or control frame. Returns the next state if this ends [`State::Open`].
    fn handle(&mut self, message: tungstenite::Message) -> Option<State> {
        match message {
            tungstenite::Message::Text(text) => self.dispatch(Message::Text(text)),
            tungstenite::Message::Binary(data) => self.dispatch(Message::Binary(data)),
            // The codec has written the pong.
            tungstenite::Message::Ping(_) => self.forward_replies(),
            tungstenite::Message::Pong(payload) => self.measure_round_trip(&payload),
            tungstenite::Message::Close(frame) => {
                self.client.close(match frame.as_ref().map(|frame| frame.code) {
                    Some(CloseCode::Away) => CloseReason::GoingAway,
                    Some(CloseCode::Protocol) => CloseReason::ProtocolError,
                    _ => CloseReason::Normal,
                });
                self.peer_closed = true;
                return Some(self.start_closing(State::Closing));
            }
            tungstenite::Message::Frame(_) => unreachable!("the codec returns no bare frames"),
        }
        None
    }

    /// Hands a message to the handler. The reader keeps the future that the handler returns, if any.
    fn dispatch(&mut self, message: Message) {
        self.client.activity.add_message();
        let bytes = message.payload().len();
        let handled = AssertUnwindSafe(|| self.context.handler.on_message(&self.client, message));
        let in_flight = catch_unwind(handled).unwrap_or_else(|_| {
            self.client.close(CloseReason::InternalError);
            None
        });
        let reader = self.reader.as_mut().expect("the message came from it");
        (reader.in_flight, reader.in_flight_bytes) = (in_flight, bytes);
    }

    /// Polls the future of the last message. `Ready` when it has finished.
    fn poll_in_flight(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reader = self.reader.as_mut().expect("the future is kept in it");
        let Some(in_flight) = &mut reader.in_flight else { return Poll::Ready(()) };
        match catch_unwind(AssertUnwindSafe(|| in_flight.as_mut().poll(cx))) {
            Ok(Poll::Pending) => {
                self.client.activity.set_busy();
                return Poll::Pending;
            }
            Ok(Poll::Ready(())) => {}
            Err(_) => _ = self.client.close(CloseReason::InternalError),
        }
        reader.in_flight = None;
        Poll::Ready(())
    }

    /// Records the round trip if this pong answers the latest ping.
    fn measure_round_trip(&self, payload: &[u8]) {
        let Some(round_trip) = self.client.outbox.on_pong(payload) else { return };
        self.context.stats.pongs_received.add(1);
        self.context.stats.round_trips.record(round_trip.as_micros() as u64);
        self.client.activity.set_round_trip(round_trip);
    }

    /// Moves the codec's control frames to the outbox.
    fn forward_replies(&mut self) {
        if let Some(reader) = &mut self.reader
            && !reader.replies().is_empty()
        {
            self.client.outbox.push_control(reader.replies());
        }
    }

    /// `Ready` when the socket has accepted nothing for `write_timeout`.
    fn poll_write_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let bytes_out = self.client.outbox.bytes_out();
        if self.timer.is_none() || self.bytes_out_seen != bytes_out {
            if self.timer.is_some() {
                self.client.mark_active();
            }
            self.bytes_out_seen = bytes_out;
            self.arm_timer(self.context.limits.write_timeout.get());
        }
        self.poll_timer(cx)
    }

    /// Arms the session's only timer, or resets it.
    fn arm_timer(&mut self, duration: Duration) {
        match &mut self.timer {
            Some(sleep) => sleep.as_mut().reset(Instant::now() + duration),
            None => self.timer = Some(Box::pin(sleep(duration))),
        }
    }

    /// `Ready` when the timer has expired; never without a timer.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
