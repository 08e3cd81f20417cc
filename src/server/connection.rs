//! One accepted connection: waits for the first byte, serves HTTP, and runs the session after an upgrade.
//!
//! One deadline covers everything from the accept to the upgrade; each plain request replaces it with its own. The
//! state of each stage is boxed or in a scope of its own, and is freed before the next stage starts, so that a
//! connection takes only the memory of its current stage.

use super::admission::Slot;
use super::handshake_stats::{HandshakeStage, InProgressGuard};
use super::http_state::HttpState;
use super::lifecycle::Phase;
use super::service;
use super::state::ServerState;
use crate::client::{CloseReason, GatewayClient, Outbox, RemoteAddr};
use crate::heartbeat::TimerGuard;
use crate::http::error::{HandshakeFailure, HttpError};
use crate::http::handshake::AcceptedHandshake;
use crate::session::Session;
use crate::ws::Stream;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use log::{debug, info};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// The start of HTTP/2's connection preface (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2";

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
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// The future for an accepted stream.
    pub fn new(server: Arc<ServerState>, stream: Stream, remote_addr: RemoteAddr, slot: Slot) -> Self {
        Connection::Handshaking(Box::pin(handshake(server, stream, remote_addr, slot)))
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
    remote_addr: RemoteAddr,
    slot: Slot,
) -> impl Future<Output = Option<ActiveClient>> {
    let in_progress = InProgressGuard::begin(&server.handshakes);
    async move {
        let (first_byte, deadline) = {
            let mut sleep = pin!(sleep_until(Instant::now() + server.config.handshake.timeout));
            let mut phase_change = pin!(server.lifecycle.changed());
            let poll =
                |cx: &mut Context<'_>| poll_first_byte(cx, &server, &stream, phase_change.as_mut(), sleep.as_mut());
            (poll_fn(poll).await, sleep.deadline())
        };
        match first_byte {
            Ok(()) => {}
            Err(EarlyEnd::TimedOut) => {
                record_timeout(&server, remote_addr, HandshakeStage::NothingSent);
                return None;
            }
            Err(EarlyEnd::Failed(cause)) => {
                server.handshakes.failed.add(cause);
                return None;
            }
        }
        let http = HttpState::new(deadline, server.handshakes.clone(), in_progress);
        let upgraded = Box::pin(serve_http(&server, stream, remote_addr, &slot, http)).await?;
        server.handshakes.completed.add(1);
        let (session, ping_timer) = register(&server, upgraded, remote_addr);
        Some(ActiveClient { session, _ping_timer: ping_timer, _permit: slot.into_permit() })
    }
}

/// An upgraded stream.
struct Upgraded {
    stream: Stream,
    /// Bytes that were read together with the request.
    early: Bytes,
    accepted: AcceptedHandshake,
    /// Counts the handshake as in progress until the client is registered.
    _http: Arc<HttpState>,
}

/// Registers a client with the registry and the heartbeat, and starts its session.
fn register(server: &ServerState, upgraded: Upgraded, remote_addr: RemoteAddr) -> (Session, TimerGuard) {
    let outbox = Outbox::new(server.outbox_context.clone());
    let AcceptedHandshake { conn_id, auth, reservation: _reservation } = upgraded.accepted;
    let client = Arc::new(GatewayClient::new(conn_id, outbox, remote_addr, auth));
    let registration = server.registry.on_connect(client.clone());
    let pings = server.heartbeat.register(&client);
    debug!("connected conn_id={conn_id} presence_key={} remote_addr={remote_addr}", client.auth.presence_key);
    // Checked after the registration: either the drain finds the client in the registry, or this check sees the drain.
    match server.lifecycle.phase() {
        Phase::Aborting => client.outbox.abort(CloseReason::Draining),
        Phase::Draining => _ = client.close(CloseReason::Draining),
        Phase::Running => {}
    }
    (Session::new(upgraded.stream, &upgraded.early, registration, server.session_context.clone()), pings)
}

/// Why a connection ended before its first byte.
enum EarlyEnd {
    TimedOut,
    Failed(HandshakeFailure),
}

/// Waits for the first byte without consuming it, so that a silent connection needs no HTTP state.
fn poll_first_byte(
    cx: &mut Context<'_>,
    server: &ServerState,
    stream: &Stream,
    phase_change: Pin<&mut Notified<'_>>,
    timeout: Pin<&mut Sleep>,
) -> Poll<Result<(), EarlyEnd>> {
    if let Poll::Ready(result) = stream.poll_first_byte(cx) {
        let has_byte = result.unwrap_or(false);
        return Poll::Ready(if has_byte { Ok(()) } else { Err(EarlyEnd::Failed(HandshakeFailure::Disconnected)) });
    }
    if server.lifecycle.phase() > Phase::Running || phase_change.poll(cx).is_ready() {
        return Poll::Ready(Err(EarlyEnd::Failed(HandshakeFailure::Draining)));
    }
    timeout.poll(cx).map(|()| Err(EarlyEnd::TimedOut))
}

/// Serves HTTP until the connection ends or is upgraded.
async fn serve_http(
    server: &Arc<ServerState>,
    stream: Stream,
    remote_addr: RemoteAddr,
    slot: &Slot,
    http: Arc<HttpState>,
) -> Option<Upgraded> {
    let handle = |request| service::handle(server, &http, slot, remote_addr, request);
    let mut connection = http1::Builder::new()
        .max_buf_size(server.config.handshake.max_header_bytes)
        // The buffer size alone is no exact limit: the buffer grows by doubling.
        .max_header_size(server.config.handshake.max_header_bytes)
        .header_read_timeout(None)
        // A client that shuts down its write half after a request still gets the response.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service_fn(handle));
    let Some(result) = poll_until_deadline(&mut connection, server, &http).await else {
        if let Some(stage) = http.timed_out_stage().filter(|_| server.lifecycle.phase() < Phase::Aborting) {
            record_timeout(server, remote_addr, stage);
        }
        return None;
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    if result.is_ok()
        && let Some(accepted) = http.take_accepted()
    {
        return Some(Upgraded { stream, early: parts.read_buf, accepted, _http: http });
    }
    if parts.read_buf.starts_with(HTTP2_PREFACE) {
        // hyper doesn't answer this preface. It answers other bytes that aren't HTTP/1.1 with 400 or 431.
        stream.write_best_effort(
            HttpError::bad_request("HTTP/2 isn't supported: use HTTP/1.1").to_http_text().as_bytes(),
        );
    }
    if let Some(cause) = failure_cause(result, &http) {
        debug!("handshake failed remote_addr={remote_addr} cause={cause}");
        server.handshakes.failed.add(cause);
    }
    // The handshake is over: it no longer counts as in progress.
    drop(http);
    linger(server, stream).await;
    None
}

/// The failure to count for an ended connection: an invalid request, or an end before the first request or before the
/// 101 response; otherwise `None`.
fn failure_cause(result: hyper::Result<()>, http: &HttpState) -> Option<HandshakeFailure> {
    match result {
        Err(error) if error.is_parse_too_large() => Some(HandshakeFailure::HeaderTooLarge),
        Err(error) if error.is_parse() => Some(HandshakeFailure::BadRequest),
        _ => http.is_unanswered().then_some(HandshakeFailure::Disconnected),
    }
}

/// Polls the connection until it ends; `None` if its deadline passes or the gateway starts aborting first.
async fn poll_until_deadline<S>(
    connection: &mut http1::Connection<TokioIo<Stream>, S>,
    server: &ServerState,
    http: &HttpState,
) -> Option<hyper::Result<()>>
where
    S: HttpService<Incoming, ResBody = String, Error = Infallible> + Unpin,
    S::Future: Unpin,
{
    let mut sleep = pin!(sleep_until(http.deadline()));
    // Plain requests, such as those of monitoring, are still served during the drain.
    let mut aborting = pin!(server.lifecycle.wait_past(Phase::Draining));
    poll_fn(|cx| {
        if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(Some(result));
        }
        if sleep.deadline() != http.deadline() {
            sleep.as_mut().reset(http.deadline());
        }
        let is_over = sleep.as_mut().poll(cx).is_ready() || aborting.as_mut().poll(cx).is_ready();
        if is_over { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Shuts down the write half, and discards input until the peer closes or `close_timeout` passes: closing a socket with
/// unread bytes would reset the connection, and the peer might lose the response.
async fn linger(server: &ServerState, mut stream: Stream) {
    let discard = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // Errors don't matter: the connection is dropped next.
    tokio::select! {
        _ = timeout(server.config.limits.close_timeout, discard) => {}
        () = server.lifecycle.wait_past(Phase::Draining) => {}
    }
}

fn record_timeout(server: &ServerState, remote_addr: RemoteAddr, stage: HandshakeStage) {
    server.handshakes.timed_out.add(stage);
    info!("handshake timed out remote_addr={remote_addr} stage={stage}");
}
