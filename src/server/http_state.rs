//! How far the requests of one HTTP connection are. The service that answers them and the task that drives the connection
//! share it; both run on one task, so that the lock is never contended.

use super::handshake_stats::{HandshakeStage, HandshakeStats, InProgressGuard};
use crate::http::handshake::AcceptedHandshake;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// The state of an HTTP connection.
pub struct HttpState {
    handshakes: Arc<HandshakeStats>,
    state: Mutex<State>,
}

struct State {
    phase: HttpPhase,
    /// When the connection is dropped.
    deadline: Instant,
    /// The permit to stay open between plain requests.
    keep_alive: Option<OwnedSemaphorePermit>,
    /// Counts this connection in `handshakes.in_progress`. Dropped when a plain request is answered, taken again when an
    /// upgrade is accepted.
    in_progress: Option<InProgressGuard>,
}

/// What the connection has become by its last request.
enum HttpPhase {
    /// No request was received yet.
    New,
    /// A plain request was received: the connection lives by the idle limit.
    Plain,
    /// A handshake was refused; its response is the last.
    Refused,
    /// A handshake was accepted; its response is being sent.
    Accepted(AcceptedHandshake),
}

impl HttpState {
    /// A connection whose first byte was received, and which must have answered a request by `deadline`.
    pub fn new(deadline: Instant, handshakes: Arc<HandshakeStats>, in_progress: InProgressGuard) -> Arc<Self> {
        let in_progress = Some(in_progress);
        let state = State { phase: HttpPhase::New, deadline, keep_alive: None, in_progress };
        Arc::new(HttpState { handshakes, state: Mutex::new(state) })
    }

    /// A handshake was accepted or refused. A connection that has lived by the idle limit has until `deadline` to take
    /// the response.
    pub fn on_handshake_response(&self, deadline: Instant, accepted: Option<AcceptedHandshake>) {
        let mut state = self.state.lock();
        if let HttpPhase::Plain = state.phase {
            state.deadline = deadline;
        }
        if accepted.is_some() && state.in_progress.is_none() {
            state.in_progress = Some(InProgressGuard::begin(&self.handshakes));
        }
        state.phase = accepted.map_or(HttpPhase::Refused, HttpPhase::Accepted);
    }

    /// A plain request is answered; the next one must come by `deadline`. Returns whether the connection may stay open for
    /// it, for which it needs a permit once.
    pub fn on_plain_response(
        &self,
        deadline: Instant,
        try_keep_alive: impl FnOnce() -> Option<OwnedSemaphorePermit>,
    ) -> bool {
        self.on_admin_request(deadline);
        let mut state = self.state.lock();
        state.keep_alive = state.keep_alive.take().or_else(try_keep_alive);
        state.keep_alive.is_some()
    }

    /// A request of the admin API was received. Its body and its response have until `deadline`, which
    /// [`extend_deadline`](Self::extend_deadline) can move.
    pub fn on_admin_request(&self, deadline: Instant) {
        let mut state = self.state.lock();
        (state.phase, state.deadline, state.in_progress) = (HttpPhase::Plain, deadline, None);
    }

    /// The response takes until `deadline`.
    pub fn extend_deadline(&self, deadline: Instant) {
        self.state.lock().deadline = deadline;
    }

    /// When the connection is dropped.
    pub fn deadline(&self) -> Instant {
        self.state.lock().deadline
    }

    /// The stage of the handshake that missed its deadline; `None` for a connection that lived by the idle limit.
    pub fn timed_out_stage(&self) -> Option<HandshakeStage> {
        match self.state.lock().phase {
            HttpPhase::New => Some(HandshakeStage::HeaderUnfinished),
            HttpPhase::Plain => None,
            HttpPhase::Refused | HttpPhase::Accepted(_) => Some(HandshakeStage::ResponseNotRead),
        }
    }

    /// Whether the connection ended without any use: before a request was received, or before the peer had the response to
    /// an accepted handshake. A refused handshake was counted when it was answered.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.state.lock().phase, HttpPhase::New | HttpPhase::Accepted(_))
    }

    /// The accepted handshake, if there is one.
    pub fn take_accepted(&self) -> Option<AcceptedHandshake> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.phase, HttpPhase::Refused) {
            HttpPhase::Accepted(accepted) => Some(accepted),
            phase => {
                state.phase = phase;
                None
            }
        }
    }
}
