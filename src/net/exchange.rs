//! One HTTP connection's progress, shared by the service that answers, the stream that the answers go through, and
//! the task that watches the time. All three run on one task: the lock is never contended.

use super::answer::Refusal;
use super::upgrade::Accepted;
use crate::client::Stream;
use crate::ops::{Handshakes, InProgress, Step};
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How far the requests on a connection are.
pub(super) struct Exchange {
    handshakes: Arc<Handshakes>,
    state: Mutex<State>,
}

struct State {
    step: Step,
    /// When the connection is dropped unless something happens.
    deadline: Instant,
    /// A plain request was answered: the connection lives by the idle limit.
    plain: bool,
    /// Its place among the plain connections that are kept open.
    kept_alive: Option<OwnedSemaphorePermit>,
    turn: Turn,
    /// The peer has ended its own direction before its request was answered, and waits for that.
    is_half_closed: bool,
    /// There but between a plain answer and a handshake that is agreed to, or the end of all HTTP.
    in_progress: Option<InProgress>,
    /// The handshake was agreed to.
    accepted: Option<Accepted>,
    /// Anything was answered.
    answered: bool,
    /// hyper refused what isn't HTTP: our code for it.
    refused: Option<&'static str>,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    /// The peer's: a request is to come.
    Peer,
    /// Our service's. What hyper writes meanwhile is part of the answer (100, that the body may come).
    Service,
    /// A node's: the service waits for it.
    Node,
    /// Ours: it is answered, and not all of that is written.
    Answer,
}

impl Exchange {
    /// A connection whose first byte is there, to be answered by `deadline`.
    pub(super) fn new(deadline: Instant, handshakes: Arc<Handshakes>, in_progress: InProgress) -> Arc<Self> {
        let state = State {
            step: Step::HeaderUnfinished,
            deadline,
            plain: false,
            kept_alive: None,
            turn: Turn::Peer,
            is_half_closed: false,
            in_progress: Some(in_progress),
            accepted: None,
            answered: false,
            refused: None,
        };
        Arc::new(Exchange { handshakes, state: Mutex::new(state) })
    }

    /// A request has come whose answer ends the handshake, one way or the other. A connection that has lived by the
    /// idle limit has until `deadline` to take it.
    pub(super) fn answer_handshake(&self, deadline: Instant, accepted: Option<Accepted>) {
        let mut state = self.state.lock();
        if state.plain {
            state.deadline = deadline;
        }
        state.plain = false;
        if accepted.is_some() && state.in_progress.is_none() {
            state.in_progress = Some(InProgress::begin(&self.handshakes));
        }
        state.accepted = accepted;
        state.answer();
    }

    /// A plain request was answered; the next may take until `deadline`. Whether there may be a next one, for which it
    /// takes a place, once.
    pub(super) fn answer_plain(
        &self,
        deadline: Instant,
        try_keep_alive: impl FnOnce() -> Option<OwnedSemaphorePermit>,
    ) -> bool {
        let mut state = self.state.lock();
        state.kept_alive = state.kept_alive.take().or_else(try_keep_alive);
        state.deadline = deadline;
        state.plain = true;
        state.in_progress = None;
        state.answer();
        state.kept_alive.is_some()
    }

    /// A request of an operator has come. Its answer, and what hyper says before it, goes out by `deadline`, unless
    /// [`wait_until`](Self::wait_until) says otherwise.
    pub(super) fn begin_operation(&self, deadline: Instant) {
        let mut state = self.state.lock();
        (state.deadline, state.plain, state.in_progress) = (deadline, true, None);
        state.answer();
        state.turn = Turn::Service;
    }

    /// The request is there, and its answer takes its time.
    pub(super) fn wait_until(&self, deadline: Instant) {
        let mut state = self.state.lock();
        (state.deadline, state.turn) = (deadline, Turn::Node);
    }

    pub(super) fn step(&self) -> Step {
        self.state.lock().step
    }

    pub(super) fn deadline(&self) -> Instant {
        self.state.lock().deadline
    }

    pub(super) fn is_plain(&self) -> bool {
        self.state.lock().plain
    }

    pub(super) fn take_accepted(&self) -> Option<Accepted> {
        self.state.lock().accepted.take()
    }

    /// Why a connection that has ended was of no use, unless that was counted when it was answered.
    pub(super) fn failure(&self) -> Option<&'static str> {
        let state = self.state.lock();
        // A handshake that was agreed to, too, if the peer hasn't taken the answer.
        let useless = !state.answered || state.accepted.is_some();
        state.refused.or(useless.then_some(Refusal::DISCONNECTED))
    }
}

impl State {
    fn answer(&mut self) {
        self.step = Step::ResponseNotRead;
        self.turn = Turn::Answer;
        self.answered = true;
    }

    /// The peer sends nothing more: whether it gets its answer all the same. Who ends while a node is waited for has gone.
    fn outlives_end(&mut self) -> bool {
        self.is_half_closed |= matches!(self.turn, Turn::Service | Turn::Answer);
        self.is_half_closed && self.turn != Turn::Peer && self.accepted.is_none()
    }
}

/// The stream under hyper. What hyper answers by itself to bytes that are no request has no body; here it gets one.
pub(super) struct Answering {
    stream: Stream,
    exchange: Arc<Exchange>,
    /// What is written instead, and how much of it is.
    instead: Option<(String, usize)>,
}

impl Answering {
    pub(super) fn new(stream: Stream, exchange: Arc<Exchange>) -> Self {
        Answering { stream, exchange, instead: None }
    }

    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for Answering {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = buffer.remaining();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let is_end = buffer.remaining() == room && room > 0;
        // hyper would drop the answer. It reads again when that is written.
        if is_end && this.exchange.state.lock().outlives_end() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for Answering {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.instead.is_none() {
            let mut state = this.exchange.state.lock();
            if state.turn != Turn::Peer {
                drop(state);
                return Pin::new(&mut this.stream).poll_write(cx, bytes);
            }
            // "HTTP/1.1 431 ..."
            let refusal = Refusal::not_http(bytes.get(9..12).unwrap_or_default());
            (state.refused, state.step) = (Some(refusal.code), Step::ResponseNotRead);
            this.instead = Some((refusal.to_http_1_1(), 0));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some((text, written)) = this.instead.as_mut().filter(|(text, written)| *written < text.len()) {
            *written += ready!(Pin::new(&mut this.stream).poll_write(cx, &text.as_bytes()[*written..]))?;
        }
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        let mut state = this.exchange.state.lock();
        if state.turn == Turn::Answer {
            (state.turn, state.step) = (Turn::Peer, Step::HeaderUnfinished);
            if state.is_half_closed {
                // Now hyper is to see it.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
