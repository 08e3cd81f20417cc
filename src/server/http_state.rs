//! One HTTP connection's progress, shared by the service that answers, the stream that the answers go through, and
//! the task that watches the time. All three run on one task: the lock is never contended.

use super::handshake_stats::{HandshakeStage, HandshakeStats, InProgressGuard};
use crate::http::error::HttpError;
use crate::http::handshake::AcceptedHandshake;
use crate::ws::Stream;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How far the requests on a connection are.
pub(crate) struct HttpState {
    handshakes: Arc<HandshakeStats>,
    state: Mutex<State>,
}

struct State {
    step: HandshakeStage,
    /// When the connection is dropped unless something happens.
    deadline: Instant,
    /// A plain request was answered: the connection lives by the idle limit.
    plain: bool,
    /// Its slot among the plain connections that are kept open.
    kept_alive: Option<OwnedSemaphorePermit>,
    turn: Awaiting,
    /// The peer has ended its own direction before its request was answered, and waits for that.
    is_half_closed: bool,
    /// There but between a plain answer and a handshake that is agreed to, or the end of all HTTP.
    in_progress: Option<InProgressGuard>,
    /// The handshake was agreed to.
    accepted: Option<AcceptedHandshake>,
    /// Anything was answered.
    answered: bool,
    /// hyper refused what isn't HTTP: our code for it.
    refused: Option<&'static str>,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq)]
enum Awaiting {
    /// The peer's: a request is to come.
    Peer,
    /// Our service's. What hyper writes meanwhile is part of the answer (100, that the body may come).
    Service,
    /// A node's: the service waits for it.
    Node,
    /// Ours: it is answered, and not all of that is written.
    Answer,
}

impl HttpState {
    /// A connection whose first byte is there, to be answered by `deadline`.
    pub(crate) fn new(deadline: Instant, handshakes: Arc<HandshakeStats>, in_progress: InProgressGuard) -> Arc<Self> {
        let state = State {
            step: HandshakeStage::HeaderUnfinished,
            deadline,
            plain: false,
            kept_alive: None,
            turn: Awaiting::Peer,
            is_half_closed: false,
            in_progress: Some(in_progress),
            accepted: None,
            answered: false,
            refused: None,
        };
        Arc::new(HttpState { handshakes, state: Mutex::new(state) })
    }

    /// A request has come whose answer ends the handshake, one way or the other. A connection that has lived by the
    /// idle limit has until `deadline` to take it.
    pub(crate) fn on_handshake_response(&self, deadline: Instant, accepted: Option<AcceptedHandshake>) {
        let mut state = self.state.lock();
        if state.plain {
            state.deadline = deadline;
        }
        state.plain = false;
        if accepted.is_some() && state.in_progress.is_none() {
            state.in_progress = Some(InProgressGuard::begin(&self.handshakes));
        }
        state.accepted = accepted;
        state.answer();
    }

    /// A plain request was answered; the next may take until `deadline`. Whether there may be a next one, for which it
    /// takes a slot, once.
    pub(crate) fn on_plain_response(
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
    /// [`extend_deadline`](Self::extend_deadline) says otherwise.
    pub(crate) fn on_admin_request(&self, deadline: Instant) {
        let mut state = self.state.lock();
        (state.deadline, state.plain, state.in_progress) = (deadline, true, None);
        state.answer();
        state.turn = Awaiting::Service;
    }

    /// The request is there, and its answer takes its time.
    pub(crate) fn extend_deadline(&self, deadline: Instant) {
        let mut state = self.state.lock();
        (state.deadline, state.turn) = (deadline, Awaiting::Node);
    }

    pub(crate) fn step(&self) -> HandshakeStage {
        self.state.lock().step
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.state.lock().deadline
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.state.lock().plain
    }

    pub(crate) fn take_accepted(&self) -> Option<AcceptedHandshake> {
        self.state.lock().accepted.take()
    }

    /// Why a connection that has ended was of no use, unless that was counted when it was answered.
    pub(crate) fn failure(&self) -> Option<&'static str> {
        let state = self.state.lock();
        // A handshake that was agreed to, too, if the peer hasn't taken the answer.
        let useless = !state.answered || state.accepted.is_some();
        state.refused.or(useless.then_some(HttpError::DISCONNECTED))
    }
}

impl State {
    fn answer(&mut self) {
        self.step = HandshakeStage::ResponseNotRead;
        self.turn = Awaiting::Answer;
        self.answered = true;
    }

    /// The peer sends nothing more: whether it gets its answer all the same. Who ends while a node is waited for has gone.
    fn ignores_eof(&mut self) -> bool {
        self.is_half_closed |= matches!(self.turn, Awaiting::Service | Awaiting::Answer);
        self.is_half_closed && self.turn != Awaiting::Peer && self.accepted.is_none()
    }
}

/// The stream under hyper. What hyper answers by itself to bytes that are no request has no body; here it gets one.
pub(crate) struct HttpIo {
    stream: Stream,
    http: Arc<HttpState>,
    /// What is written instead, and how much of it is.
    instead: Option<(String, usize)>,
}

impl HttpIo {
    pub(crate) fn new(stream: Stream, http: Arc<HttpState>) -> Self {
        HttpIo { stream, http, instead: None }
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for HttpIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = buffer.remaining();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let is_end = buffer.remaining() == room && room > 0;
        // hyper would drop the answer. It reads again when that is written.
        if is_end && this.http.state.lock().ignores_eof() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for HttpIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.instead.is_none() {
            let mut state = this.http.state.lock();
            if state.turn != Awaiting::Peer {
                drop(state);
                return Pin::new(&mut this.stream).poll_write(cx, bytes);
            }
            // "HTTP/1.1 431 ..."
            let error = HttpError::from_parse_error(bytes.get(9..12).unwrap_or_default());
            (state.refused, state.step) = (Some(error.code), HandshakeStage::ResponseNotRead);
            this.instead = Some((error.to_bytes(), 0));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some((text, written)) = this.instead.as_mut().filter(|(text, written)| *written < text.len()) {
            *written += ready!(Pin::new(&mut this.stream).poll_write(cx, &text.as_bytes()[*written..]))?;
        }
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        let mut state = this.http.state.lock();
        if state.turn == Awaiting::Answer {
            (state.turn, state.step) = (Awaiting::Peer, HandshakeStage::HeaderUnfinished);
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
