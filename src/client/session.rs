//! One client's read and write loop: the only one to read, write or close its stream.
//!
//! A hand-written poll of one future. Whatever ends it, dropping the [`Session`] is what counts the end, logs its
//! one line and gives the registration back.

mod end;
mod write;

use super::wire::{Link, Wire};
use super::{CloseReason, Handler, Registration, Stats};
use crate::config::Limits;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Bytes that the codec takes at once; more cost no fewer system calls, because it reads from the scratch.
const READ_BITE: usize = 256;
/// Outgoing bytes gathered before they are written.
const WRITE_BUFFER: usize = 8 * 1024;
/// Control frames and headers on top of the largest message.
const WRITE_SLACK: usize = 4 * 1024;
/// Answers to pings that may be gathered before they are flushed, and wait behind a blocked write.
const PONGS_OWED: usize = 16;
/// What larger messages leave in the codec's buffers is given back.
const LARGE_MESSAGE: usize = 16 * 1024;
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
enum State {
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
    state: State,
    /// A large message has left large buffers in the codec.
    grown: bool,
    /// The socket took less than it was given: nothing more leaves the outbox until it has taken that.
    blocked: bool,
    /// Answers to the peer's pings that wait behind a blocked write.
    owed_pongs: usize,
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
            state: State::Open,
            grown: false,
            blocked: false,
            owed_pongs: 0,
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
            let step = match self.state {
                State::Ended => return Poll::Ready(()),
                _ if requests.cut => return Poll::Ready(()),
                State::Open if requests.close.is_some() => Poll::Ready(self.start_closing(State::Closing)),
                State::Open => self.poll_open(cx, requests.ping, &mut budget),
                State::Closing | State::Failing => self.poll_close(cx),
            };
            if let Poll::Ready(state) = step {
                self.state = state;
                continue;
            }
            // While a write is blocked, or the end has begun, new messages change nothing.
            let can_write = self.state == State::Open && !self.blocked;
            if self.client.sender.park(cx.waker(), requests.close, can_write) {
                return Poll::Pending;
            }
        }
    }

    /// Writes, then reads. `Ready` when it got anywhere, with the state to go on in.
    fn poll_open(&mut self, cx: &mut Context<'_>, ping: bool, budget: &mut usize) -> Poll<State> {
        if ping && let Err(error) = self.write_ping(cx) {
            return Poll::Ready(self.fail(error));
        }
        let (blocked, written, read) = (self.blocked, self.link.bytes_out, self.link.bytes_in);
        let flushed = self.poll_write_out(cx);
        if blocked && self.link.bytes_out > written {
            // It has taken something of what it was too slow for; reading may be paused meanwhile.
            self.client.heard();
        }
        match flushed {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(self.fail(error)),
            Poll::Pending if self.poll_stalled(cx).is_ready() => {
                self.client.close(CloseReason::SlowConsumer);
                return Poll::Ready(State::Open);
            }
            Poll::Pending => {}
        }
        let left = *budget;
        let result = self.poll_read_messages(cx, budget);
        if self.link.bytes_in > read || *budget < left {
            self.client.heard();
        }
        result
    }

    /// Reads and handles messages, and lets the codec gather the answers. While writing is blocked, reading goes
    /// on until half the outbox is taken: a client is slowed down by its own answers, never closed over them.
    fn poll_read_messages(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Poll<State> {
        let mut handled = false;
        loop {
            if self.blocked && (self.owed_pongs > PONGS_OWED || self.client.sender.is_half_full()) {
                return Poll::Pending;
            }
            if self.owed_pongs > PONGS_OWED || self.client.close_reason().is_some() {
                return Poll::Ready(State::Open);
            }
            if *budget == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.with_codec(cx, |codec, wire| codec.read(wire)) {
                Ok(message) => {
                    handled = true;
                    *budget -= 1;
                    if let Some(state) = self.handle(message) {
                        return Poll::Ready(state);
                    }
                    if let Poll::Ready(Err(error)) = self.poll_write_queued(cx) {
                        return Poll::Ready(self.fail(error));
                    }
                }
                // Once more round, to flush the answers.
                Err(error) if would_block(&error) && handled => return Poll::Ready(State::Open),
                Err(error) if would_block(&error) => {
                    self.shrink();
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(self.fail(error)),
            }
        }
    }

    /// Handles one message; returns the next state if it ends the open one.
    fn handle(&mut self, message: Message) -> Option<State> {
        match message {
            Message::Text(text) => {
                self.traffic.messages_in += 1;
                self.grown |= text.len() > LARGE_MESSAGE;
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
                Some(self.start_closing(State::Closing))
            }
            // The codec answers it with its own payload.
            Message::Ping(_) => {
                self.owed_pongs += 1;
                None
            }
            Message::Frame(_) => unreachable!("the codec reads no bare frames"),
        }
    }

    /// Replaces a codec that has kept the buffers of a large message, when there is nothing in it: read to the end of
    /// a message, and flushed.
    fn shrink(&mut self) {
        if self.grown && !self.blocked && self.link.is_between_messages() {
            self.codec = WebSocketContext::new(Role::Server, Some(self.context.codec));
            self.grown = false;
        }
    }

    fn measure_round_trip(&mut self) {
        self.ping = Ping::None;
        self.context.stats.pongs_received.add(1);
        if let Some(round_trip) = self.client.pong_received() {
            self.context.stats.round_trips.record(round_trip.as_micros() as u64);
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
