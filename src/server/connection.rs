//! One accepted connection: waits for the first byte, serves HTTP, and runs the session after an upgrade.
//!
//! One deadline covers everything from the accept to the upgrade; each plain request replaces it with its own. The
//! state of each stage is boxed or in a scope of its own, and is freed before the next stage starts, so that a
//! connection takes only the memory of its current stage.

use super::admission::{ConnectionPermit, Slot};
use super::drain;
use super::handshake_stats::InProgressGuard;
use super::http_connection::{Upgraded, serve_http};
use super::http_state::HttpState;
use super::lifecycle::Phase;
use super::opening::Opening;
use super::pending::PendingConnections;
use super::state::ServerState;
use crate::auth::AuthInfo;
use crate::client::{CloseReason, GatewayClient, Outbox, RemoteAddr};
use crate::heartbeat::TimerGuard;
use crate::http::handshake::AcceptedHandshake;
use crate::session::Session;
use crate::ws::Stream;
use log::info;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, sleep_until};

/// The future that serves one connection; no larger than an [`ActiveClient`].
pub enum Connection {
    /// Before the upgrade.
    Handshaking(Pin<Box<dyn Future<Output = Option<ActiveClient>> + Send>>),
    /// After the upgrade.
    Active(ActiveClient),
}

/// A client's session, with its heartbeat registration and its connection slot.
pub struct ActiveClient {
    session: Session,
    _ping_timer: TimerGuard,
    _permit: ConnectionPermit,
}

impl Connection {
    /// The future for an accepted stream.
    pub fn new(server: Arc<ServerState>, stream: Stream, peer: RemoteAddr, slot: Slot) -> Self {
        Connection::Handshaking(Box::pin(handshake(server, stream, peer, slot)))
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Connection::Handshaking(handshake) = this {
            match ready!(handshake.as_mut().poll(cx)) {
                Some(client) => *this = Connection::Active(client),
                None => return Poll::Ready(()),
            }
        }
        match this {
            Connection::Active(client) => Pin::new(&mut client.session).poll(cx),
            Connection::Handshaking(_) => unreachable!("the handshake has finished above"),
        }
    }
}

/// Serves a connection until it is upgraded; `None` if it ends first.
///
/// Not an `async fn`, whose future would store each argument twice.
fn handshake(
    server: Arc<ServerState>,
    stream: Stream,
    peer: RemoteAddr,
    slot: Slot,
) -> impl Future<Output = Option<ActiveClient>> {
    let in_progress = InProgressGuard::begin(&server.handshakes);
    let pending = server.pending_of(&slot, false).map(PendingConnections::add);
    let mut opening = Opening::new(&server, &slot, peer);
    async move {
        let (result, deadline) = {
            let mut sleep = pin!(sleep_until(Instant::now() + server.config.load().handshake.timeout));
            let mut phase_change = pin!(server.lifecycle.changed());
            let poll = |cx: &mut Context<'_>| {
                let (change, sleep) = (phase_change.as_mut(), sleep.as_mut());
                opening.poll(cx, &server, (&stream, &slot), pending.as_ref(), change, sleep)
            };
            (poll_fn(poll).await, sleep.deadline())
        };
        if let Err(error) = result {
            opening.record(&server, &stream, &error);
            return None;
        }
        let pending_admin = (!slot.role.serves_clients()).then(|| server.pending_admin.clone());
        let http = HttpState::new(deadline, server.handshakes.clone(), in_progress, pending, pending_admin);
        let upgraded = Box::pin(serve_http(&server, stream, opening, &slot, http)).await?;
        server.handshakes.completed.add(1);
        let (session, ping_timer) = register(&server, upgraded);
        Some(ActiveClient { session, _ping_timer: ping_timer, _permit: slot.into_permit() })
    }
}

/// Registers a client with the registry and the heartbeat, and starts its session.
fn register(server: &ServerState, upgraded: Upgraded) -> (Session, TimerGuard) {
    let outbox = Outbox::new(server.outbox_context.clone());
    let remote_addr = upgraded.remote_addr;
    let AcceptedHandshake { conn_id, auth, reservation: _reservation, .. } = upgraded.accepted;
    let client = Arc::new(GatewayClient::new(conn_id, outbox, remote_addr, auth));
    let registration = server.registry.on_connect(client.clone());
    let pings = server.heartbeat.register(&client);
    let AuthInfo { role, presence_key, .. } = &*client.auth;
    info!("connected conn_id={conn_id} role={role} presence_key={presence_key} remote_addr={remote_addr}");
    // Checked after the registration: either a drain or a reload finds the client in the registry, or this sees it.
    if client.auth.is_revoked() {
        client.close(CloseReason::CredentialRevoked);
    }
    match server.lifecycle.phase() {
        Phase::Aborting => client.outbox.abort(CloseReason::Draining),
        Phase::Draining => drain::close_late_client(server, &client),
        Phase::Running => {}
    }
    (Session::new(upgraded.stream, &upgraded.early, registration, server.session_context.clone()), pings)
}
