//! One client's read and write loop: the only one to read, write or close its stream.
//!
//! A hand-written poll of one future. Whatever ends it, dropping the [`Session`] is what counts the end, logs its
//! one line and gives the registration back.

use super::wire::{Link, Wire};
use super::{CloseReason, Handler, Registration, Stats};
use crate::config::Limits;
use log::info;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes, error::ProtocolError};

/// Bytes that the codec takes at once; more cost no fewer system calls, because it reads from the scratch.
const READ_BITE: usize = 1024;
/// Outgoing bytes gathered before they are written.
const WRITE_BUFFER: usize = 8 * 1024;
/// Control frames and headers on top of the largest message.
const WRITE_SLACK: usize = 4 * 1024;
/// Messages handled before other tasks have their turn.
const MESSAGES_PER_POLL: usize = 256;

/// What all sessions of a gateway share.
pub struct SessionContext {
    handler: Arc<dyn Handler>,
    stats: Arc<Stats>,
    codec: WebSocketConfig,
    write_timeout: Duration,
    close_timeout: Duration,
}

impl SessionContext {
    /// Sessions that pass their messages to `handler`, count in `stats` and keep within `limits`.
    pub fn new(handler: Arc<dyn Handler>, stats: Arc<Stats>, limits: &Limits) -> Self {
        let codec = WebSocketConfig::default()
            .read_buffer_size(READ_BITE)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(WRITE_BUFFER + limits.outbox_max_bytes + WRITE_SLACK)
            .max_message_size(Some(limits.max_message_bytes))
            .max_frame_size(Some(limits.max_message_bytes));
        let (write_timeout, close_timeout) = (limits.write_timeout, limits.close_timeout);
        SessionContext { handler, stats, codec, write_timeout, close_timeout }
    }
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Messages go both ways.
    Open,
    /// What was queued goes out, then our close frame, then the peer's is awaited.
    Closing,
    /// The peer broke the protocol and can't be understood any more: our close frame goes out, then whatever
    /// still comes is discarded, so that the kernel doesn't reset the connection over it.
    Failing,
    /// Nothing more to do.
    Ended,
}

/// The ping under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ping {
    None,
    /// Behind other bytes that the socket hasn't taken yet.
    Buffered,
    Sent,
}

/// Messages and bytes, in and out.
#[derive(Clone, Copy, Default)]
struct Traffic {
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// One open WebSocket connection.
pub struct Session<S> {
    link: Link<S>,
    codec: WebSocketContext,
    context: Arc<SessionContext>,
    client: Registration,
    phase: Phase,
    /// The socket took less than it was given: nothing more leaves the outbox until it has taken that.
    blocked: bool,
    ping: Ping,
    /// Pings so far: the payload of the last one.
    pings: u32,
    /// Armed while a write is blocked, and from the first close frame on.
    patience: Option<Pin<Box<Sleep>>>,
    /// `bytes_out` when patience was last renewed.
    progress: u64,
    close_sent: bool,
    /// Both sides have sent their close frame.
    clean: bool,
    traffic: Traffic,
    /// What of it the shared stats have seen.
    published: Traffic,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session over an upgraded stream, of which `early` was read already.
    pub fn new(stream: S, early: &[u8], client: Registration, context: Arc<SessionContext>) -> Self {
        Session {
            link: Link::new(stream, early),
            codec: WebSocketContext::new(Role::Server, Some(context.codec)),
            context,
            client,
            phase: Phase::Open,
            blocked: false,
            ping: Ping::None,
            pings: 0,
            patience: None,
            progress: 0,
            close_sent: false,
            clean: false,
            traffic: Traffic::default(),
            published: Traffic::default(),
        }
    }

    /// Serves the client until the connection has ended.
    pub async fn run(mut self) {
        poll_fn(|cx| {
            self.link.begin_poll();
            let poll = self.poll(cx);
            self.link.end_poll();
            self.publish();
            poll
        })
        .await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut budget = MESSAGES_PER_POLL;
        loop {
            let requests = self.client.sender.take_requests();
            let step = match self.phase {
                Phase::Ended => return Poll::Ready(()),
                _ if requests.cut => return Poll::Ready(()),
                Phase::Open if requests.close.is_some() => Poll::Ready(self.start_closing(Phase::Closing)),
                Phase::Open => self.poll_open(cx, requests.ping, &mut budget),
                Phase::Closing | Phase::Failing => self.poll_close(cx),
            };
            if let Poll::Ready(phase) = step {
                self.phase = phase;
                continue;
            }
            // While a write is blocked, or the end has begun, new messages change nothing.
            let can_write = self.phase == Phase::Open && !self.blocked;
            if self.client.sender.park(cx.waker(), requests.close, can_write) {
                return Poll::Pending;
            }
        }
    }

    /// Writes, then reads. `Ready` when it got anywhere, with the phase to go on in.
    fn poll_open(&mut self, cx: &mut Context<'_>, ping: bool, budget: &mut usize) -> Poll<Phase> {
        if ping && let Err(error) = self.write_ping(cx) {
            return Poll::Ready(self.fail(error));
        }
        match self.poll_write_out(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(self.fail(error)),
            Poll::Pending if self.poll_stalled(cx).is_ready() => {
                self.client.close(CloseReason::SlowConsumer);
                return Poll::Ready(Phase::Open);
            }
            Poll::Pending => {}
        }
        let before = self.link.bytes_in;
        let result = self.poll_read_messages(cx, budget);
        if self.link.bytes_in > before {
            self.client.heard();
        }
        result
    }

    /// Reads and handles messages, and lets the codec gather the answers. While writing is blocked, reading goes
    /// on until half the outbox is taken: a client is slowed down by its own answers, never closed over them.
    fn poll_read_messages(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Poll<Phase> {
        let mut handled = false;
        loop {
            if self.blocked && self.client.sender.is_half_full() {
                return Poll::Pending;
            }
            if *budget == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.with_codec(cx, |codec, wire| codec.read(wire)) {
                Ok(message) => {
                    handled = true;
                    *budget -= 1;
                    if let Some(phase) = self.handle(message) {
                        return Poll::Ready(phase);
                    }
                    if let Poll::Ready(Err(error)) = self.poll_write_queued(cx) {
                        return Poll::Ready(self.fail(error));
                    }
                }
                // Once more round, to flush the answers.
                Err(error) if would_block(&error) && handled => return Poll::Ready(Phase::Open),
                Err(error) if would_block(&error) => return Poll::Pending,
                Err(error) => return Poll::Ready(self.fail(error)),
            }
        }
    }

    /// Handles one message; returns the next phase if it ends the open one.
    fn handle(&mut self, message: Message) -> Option<Phase> {
        match message {
            Message::Text(text) => {
                self.traffic.messages_in += 1;
                let handler = AssertUnwindSafe(|| self.context.handler.on_message(&self.client, text));
                if catch_unwind(handler).is_err() {
                    self.client.close(CloseReason::InternalError);
                }
                None
            }
            Message::Binary(_) => {
                self.client.close(CloseReason::UnsupportedData);
                None
            }
            Message::Pong(payload) => {
                if self.ping == Ping::Sent && payload[..] == self.pings.to_be_bytes() {
                    self.measure_round_trip();
                }
                None
            }
            // The codec has queued the answer, our close frame.
            Message::Close(frame) => {
                self.client.close(match frame.map(|frame| frame.code) {
                    Some(CloseCode::Away) => CloseReason::GoingAway,
                    Some(CloseCode::Protocol) => CloseReason::ProtocolError,
                    _ => CloseReason::Normal,
                });
                self.close_sent = true;
                Some(self.start_closing(Phase::Closing))
            }
            // The codec answers a ping with its own payload; a bare frame is never read.
            Message::Ping(_) | Message::Frame(_) => None,
        }
    }

    fn measure_round_trip(&mut self) {
        self.ping = Ping::None;
        self.context.stats.pongs_received.add(1);
        if let Some(round_trip) = self.client.pong_received() {
            self.context.stats.round_trips.record(round_trip.as_micros() as u64);
        }
    }

    fn write_ping(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        self.pings = self.pings.wrapping_add(1);
        self.ping = Ping::Buffered;
        let ping = Message::Ping(self.pings.to_be_bytes().to_vec().into());
        accepted(self.with_codec(cx, |codec, wire| codec.write(wire, ping)))
    }

    /// Writes all that is queued, to the socket. `Pending` while it takes no more.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_flush(cx))?;
        ready!(self.poll_write_queued(cx))?;
        self.poll_flush(cx)
    }

    /// Passes what is queued to the codec, which writes whenever it has gathered enough. Nothing leaves the outbox
    /// while the socket takes no more, so that the outbox's bounds hold.
    fn poll_write_queued(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.blocked {
            let Some(text) = self.client.sender.pop() else { return Poll::Ready(Ok(())) };
            self.traffic.messages_out += 1;
            match self.with_codec(cx, |codec, wire| codec.write(wire, Message::Text(text))) {
                Err(error) if would_block(&error) => self.blocked = true,
                result => result?,
            }
        }
        Poll::Pending
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
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
        if self.ping == Ping::Buffered {
            self.ping = Ping::Sent;
            self.client.ping_sent();
            self.context.stats.pings_sent.add(1);
        }
        if self.phase == Phase::Open {
            self.patience = None;
        }
    }

    /// Ready when a blocked write has made no progress for `write_timeout`.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.patience.is_none() || self.progress != self.link.bytes_out {
            self.progress = self.link.bytes_out;
            self.wait(self.context.write_timeout);
        }
        self.poll_patience(cx)
    }

    /// Begins the end. What is still queued goes out first, but for a peer that doesn't take it or has closed.
    fn start_closing(&mut self, phase: Phase) -> Phase {
        if self.close_sent || phase == Phase::Failing || self.reason() == CloseReason::SlowConsumer {
            self.client.sender.clear();
        }
        self.wait(self.context.close_timeout);
        phase
    }

    /// The phase in which a failure of reading or writing ends.
    fn fail(&mut self, error: Error) -> Phase {
        let reason = match error {
            Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed => CloseReason::Abnormal,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CloseReason::Abnormal,
            Error::Protocol(_) => CloseReason::ProtocolError,
            Error::Capacity(_) => CloseReason::MessageTooBig,
            Error::Utf8(_) => CloseReason::InvalidPayload,
            _ => CloseReason::InternalError,
        };
        match self.client.close(reason) {
            CloseReason::Abnormal => Phase::Ended,
            _ => self.start_closing(Phase::Failing),
        }
    }

    /// Sends our close frame behind what is queued, and waits for the peer's, all within `close_timeout`.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        if self.poll_patience(cx).is_ready() {
            return Poll::Ready(Phase::Ended);
        }
        if !self.close_sent {
            if ready!(self.poll_write_out(cx)).is_err() {
                return Poll::Ready(Phase::Ended);
            }
            self.close_sent = true;
            let frame = close_frame(self.reason());
            if accepted(self.with_codec(cx, |codec, wire| codec.close(wire, Some(frame)))).is_err() {
                return Poll::Ready(Phase::Ended);
            }
        }
        match ready!(self.poll_flush(cx)) {
            Ok(()) => {}
            // The peer closed first, and has our answer.
            Err(Error::ConnectionClosed) => self.clean = true,
            Err(_) => return Poll::Ready(Phase::Ended),
        }
        if self.clean {
            return Poll::Ready(Phase::Ended);
        }
        if self.phase == Phase::Failing {
            return self.link.poll_discard(cx).map(|()| Phase::Ended);
        }
        self.poll_peers_close(cx)
    }

    /// Reads on, forgetting what comes, until the peer's close frame.
    fn poll_peers_close(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        loop {
            match self.with_codec(cx, |codec, wire| codec.read(wire)) {
                Ok(Message::Close(_)) => {
                    self.clean = true;
                    return Poll::Ready(Phase::Ended);
                }
                Ok(_) => {}
                Err(error) if would_block(&error) => return Poll::Pending,
                Err(_) => return Poll::Ready(Phase::Ended),
            }
        }
    }

    fn with_codec<R>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut WebSocketContext, &mut Wire<'_, '_, S>) -> R,
    ) -> R {
        act(&mut self.codec, &mut self.link.wire(cx))
    }
}

impl<S> Session<S> {
    /// (Re)arms the one timer that a blocked or closing session has.
    fn wait(&mut self, duration: Duration) {
        match &mut self.patience {
            Some(sleep) => sleep.as_mut().reset(Instant::now() + duration),
            None => self.patience = Some(Box::pin(sleep(duration))),
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.patience {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<S> Session<S> {
    /// Why it ends; what has no reason of its own ends by a panic or a cancelled task.
    fn reason(&self) -> CloseReason {
        self.client.close_reason().unwrap_or(CloseReason::InternalError)
    }

    /// Adds what has changed to the shared stats.
    fn publish(&mut self) {
        let (stats, before) = (&self.context.stats, self.published);
        self.traffic.bytes_in = self.link.bytes_in;
        self.traffic.bytes_out = self.link.bytes_out;
        stats.messages_in.add(self.traffic.messages_in - before.messages_in);
        stats.messages_out.add(self.traffic.messages_out - before.messages_out);
        stats.bytes_in.add(self.traffic.bytes_in - before.bytes_in);
        stats.bytes_out.add(self.traffic.bytes_out - before.bytes_out);
        self.published = self.traffic;
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
        self.context.stats.closed_cleanly.add(u64::from(self.clean));
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

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(io) if io.kind() == io::ErrorKind::WouldBlock)
}

/// What the codec couldn't write at once it keeps, and a flush goes on with it.
fn accepted(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if would_block(&error) => Ok(()),
        result => result,
    }
}

fn close_frame(reason: CloseReason) -> CloseFrame {
    CloseFrame { code: reason.code().into(), reason: Utf8Bytes::from_static(reason.label()) }
}
