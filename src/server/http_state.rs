//! The state of one HTTP connection, shared by its hyper service and the future that polls it. Both run in one task, so
//! the lock is never contended.

use super::handshake_stats::{HandshakeStage, HandshakeStats, InProgressGuard};
use super::pending::{PendingConnection, PendingConnections};
use crate::client::RemoteAddr;
use crate::http::handshake::AcceptedHandshake;
use crate::memory::Charge;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// What follows the responses that hyper still has to write.
pub enum Upgrade {
    /// The 101 response, and a session.
    Client {
        accepted: AcceptedHandshake,
        /// The client's address, which a proxy may have passed on.
        remote_addr: RemoteAddr,
    },
    /// These bytes: a 101 response and a close frame, for a refused handshake.
    Refusal(Vec<u8>),
}

/// The state of an HTTP connection.
pub struct HttpState {
    handshakes: Arc<HandshakeStats>,
    /// The socket accepts no more, and hyper has bytes left to write.
    is_blocked: AtomicBool,
    state: Mutex<State>,
}

struct State {
    phase: HttpPhase,
    /// When the connection is dropped.
    deadline: Instant,
    /// The permit to stay open between plain requests.
    keep_alive: Option<OwnedSemaphorePermit>,
    /// Counts this connection in `handshakes.in_progress`. Dropped at a plain request or a refused handshake, and taken
    /// again when an upgrade is accepted.
    in_progress: Option<InProgressGuard>,
    /// Set while the connection may be dropped to make room: before the first request; at `ops.listen` also during a
    /// request's body, and from each response to the next request.
    pending: Option<PendingConnection>,
    /// Where the connection becomes pending again; `None` if it isn't at `ops.listen`.
    pending_admin: Option<Arc<PendingConnections>>,
    /// The response that hyper hasn't written yet.
    response: Option<Charge>,
}

/// The kind of the last request, and its outcome.
enum HttpPhase {
    /// No request yet.
    New,
    /// A plain request: the deadline is the idle timeout, or that of a request to the admin API.
    Plain,
    /// A refused handshake, after whose response the connection closes; or an upgrade that was taken.
    Refused,
    /// A handshake that is answered with 101.
    Upgrading(Upgrade),
}

impl HttpState {
    /// The state after the first byte. By `deadline` the first request must have arrived, and if it is a handshake, the
    /// 101 response must have been sent.
    pub fn new(
        deadline: Instant,
        handshakes: Arc<HandshakeStats>,
        in_progress: InProgressGuard,
        pending: Option<PendingConnection>,
        pending_admin: Option<Arc<PendingConnections>>,
    ) -> Arc<Self> {
        let state = State {
            phase: HttpPhase::New,
            deadline,
            keep_alive: None,
            in_progress: Some(in_progress),
            pending,
            pending_admin,
            response: None,
        };
        Arc::new(HttpState { handshakes, is_blocked: AtomicBool::new(false), state: Mutex::new(state) })
    }

    /// Records a handshake: with `None`, one that is refused by an HTTP status. After a plain request, `deadline` replaces
    /// the idle timeout.
    pub fn on_handshake_response(&self, deadline: Instant, upgrade: Option<Upgrade>) {
        let mut state = self.state.lock();
        state.pending = None;
        if let HttpPhase::Plain = state.phase {
            state.deadline = deadline;
        }
        if !matches!(upgrade, Some(Upgrade::Client { .. })) {
            state.in_progress = None;
        } else if state.in_progress.is_none() {
            state.in_progress = Some(InProgressGuard::begin(&self.handshakes));
        }
        state.phase = upgrade.map_or(HttpPhase::Refused, HttpPhase::Upgrading);
    }

    /// Records the response to a plain request. Returns whether the connection may stay open until `deadline` for the
    /// next request. That requires a permit, which a connection takes once and keeps.
    pub fn on_plain_response(
        &self,
        deadline: Instant,
        try_keep_alive: impl FnOnce() -> Option<OwnedSemaphorePermit>,
    ) -> bool {
        let mut state = self.state.lock();
        state.set_plain(deadline);
        state.keep_alive = state.keep_alive.take().or_else(try_keep_alive);
        state.keep_alive.is_some()
    }

    /// Records a request to the admin API. Its body and response must be complete by `deadline`, which
    /// [`extend_deadline`](Self::extend_deadline) can move.
    pub fn on_admin_request(&self, deadline: Instant) {
        self.state.lock().set_plain(deadline);
    }

    /// Whether the connection is at a listener of `ops.listen`.
    pub fn is_admin(&self) -> bool {
        self.state.lock().pending_admin.is_some()
    }

    /// Records that a request to the admin API is complete: until its response is ready, the connection isn't dropped to
    /// make room.
    pub fn on_admin_body(&self) {
        let mut state = self.state.lock();
        if !state.is_displaced() {
            state.pending = None;
        }
    }

    /// Moves the deadline of the response.
    pub fn extend_deadline(&self, deadline: Instant) {
        self.state.lock().deadline = deadline;
    }

    /// `Ready` when the connection is to be dropped, to make room for others.
    pub fn poll_dropped(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.lock().pending.as_ref().map_or(Poll::Pending, |pending| pending.poll_dropped(cx))
    }

    /// Whether the connection was dropped, to make room for others.
    pub fn is_displaced(&self) -> bool {
        self.state.lock().is_displaced()
    }

    /// When the connection is dropped.
    pub fn deadline(&self) -> Instant {
        self.state.lock().deadline
    }

    /// The stage of a handshake that timed out; `None` if the last request was a plain one or was refused: a refused
    /// handshake was counted when it was answered.
    pub fn timed_out_stage(&self) -> Option<HandshakeStage> {
        match self.state.lock().phase {
            HttpPhase::New => Some(HandshakeStage::HeaderUnfinished),
            HttpPhase::Plain | HttpPhase::Refused => None,
            HttpPhase::Upgrading(_) => Some(HandshakeStage::ResponseNotRead),
        }
    }

    /// Whether the connection ended before its first request, or before the 101 response was due. A refused handshake
    /// was counted when it was answered.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.state.lock().phase, HttpPhase::New | HttpPhase::Upgrading(Upgrade::Client { .. }))
    }

    /// Takes the upgrade, if there is one.
    pub fn take_upgrade(&self) -> Option<Upgrade> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.phase, HttpPhase::Refused) {
            HttpPhase::Upgrading(upgrade) => Some(upgrade),
            phase => {
                state.phase = phase;
                None
            }
        }
    }

    /// Records a response that hyper keeps until it is written.
    pub fn on_response(&self, charge: Charge) {
        self.state.lock().response = Some(charge);
    }

    /// Records that hyper has written everything.
    pub fn on_flushed(&self) {
        self.state.lock().response = None;
    }

    /// Records whether the last write was blocked.
    pub fn set_blocked(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Relaxed);
    }

    /// Whether the socket accepts no more, and hyper has bytes left to write.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked.load(Relaxed)
    }
}

impl State {
    fn set_plain(&mut self, deadline: Instant) {
        (self.phase, self.deadline) = (HttpPhase::Plain, deadline);
        self.in_progress = None;
        if !self.is_displaced() {
            // Moves it to the end.
            self.pending = None;
            self.pending = self.pending_admin.as_ref().map(PendingConnections::add);
        }
    }

    fn is_displaced(&self) -> bool {
        self.pending.as_ref().is_some_and(PendingConnection::is_dropped)
    }
}
