//! One accepted connection: waits for the first byte, serves HTTP, and runs the session after an upgrade.
//!
//! One deadline covers everything from the accept to the upgrade; each plain request replaces it with its own. The
//! state of each stage is boxed or in a scope of its own, and is freed before the next stage starts, so that a
//! connection takes only the memory of its current stage.

use super::admission::Slot;
use super::handshake_stats::{HandshakeStage, InProgressGuard};
use super::http_io::HttpIo;
use super::http_state::HttpState;
use super::lifecycle::Phase;
use super::service;
use super::state::ServerState;
use crate::auth::AuthInfo;
use crate::client::{CloseReason, GatewayClient, Outbox, RemoteAddr};
use crate::heartbeat::TimerGuard;
use crate::http::error::{HandshakeFailure, HttpError};
use crate::http::handshake::AcceptedHandshake;
use crate::session::Session;
use crate::ws::Stream;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use log::{debug, info};
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
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
    let AcceptedHandshake { conn_id, auth, reservation: _reservation, .. } = upgraded.accepted;
    let client = Arc::new(GatewayClient::new(conn_id, outbox, remote_addr, auth));
    let registration = server.registry.on_connect(client.clone());
    let pings = server.heartbeat.register(&client);
    let AuthInfo { role, presence_key, .. } = &*client.auth;
    info!("connected conn_id={conn_id} role={role} presence_key={presence_key} remote_addr={remote_addr}");
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

/// How HTTP ended on a connection.
enum HttpEnd {
    /// By an accepted handshake; hyper has written all earlier responses.
    Accepted(AcceptedHandshake),
    /// By the peer, by an error, or by a response with `Connection: close`.
    Closed(hyper::Result<()>),
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
        // Some embedded clients compare header names case-sensitively.
        .title_case_headers(true)
        // A client that shuts down its write half after a request still gets the response.
        .half_close(true)
        .serve_connection(TokioIo::new(HttpIo::new(stream, http.clone())), service_fn(handle));
    let end = before_deadline(server, &http, |cx| match connection.poll_without_shutdown(cx) {
        Poll::Ready(result) => Poll::Ready(HttpEnd::Closed(result)),
        Poll::Pending if http.is_blocked() => Poll::Pending,
        Poll::Pending => {
            http.take_accepted().map_or(Poll::Pending, |accepted| Poll::Ready(HttpEnd::Accepted(accepted)))
        }
    });
    let end = end.await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().stream;
    match end {
        Some(HttpEnd::Accepted(accepted)) => {
            switch_protocols(server, &stream, remote_addr, &accepted, &http).await?;
            Some(Upgraded { stream, early: parts.read_buf, accepted, _http: http })
        }
        Some(HttpEnd::Closed(result)) => {
            close_http(server, stream, remote_addr, &parts.read_buf, result, http).await;
            None
        }
        None => {
            if http.is_blocked() {
                stream.reset_on_drop();
            }
            if let Some(stage) = http.timed_out_stage() {
                record_timeout(server, remote_addr, stage);
            }
            None
        }
    }
}

/// Writes the 101 response. Not left to hyper, which adds `close` to `Connection` if the request has it, so that clients
/// refuse the response. `None` if it can't be written by the deadline.
async fn switch_protocols(
    server: &ServerState,
    stream: &Stream,
    remote_addr: RemoteAddr,
    accepted: &AcceptedHandshake,
    http: &HttpState,
) -> Option<()> {
    let mut left = accepted.response.as_bytes();
    let written = before_deadline(server, http, |cx| {
        while !left.is_empty() {
            match stream.try_write(left, &[]) {
                Ok(length) => left = &left[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(stream.poll_writable(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    });
    match written.await {
        Some(Ok(())) => return Some(()),
        Some(Err(_)) => record_failure(server, remote_addr, HandshakeFailure::Disconnected),
        None => {
            stream.reset_on_drop();
            record_timeout(server, remote_addr, HandshakeStage::ResponseNotRead);
        }
    }
    None
}

/// Counts the failure of a connection that ended as HTTP, if it is one, and closes the connection. `unread` are bytes
/// after the last request.
async fn close_http(
    server: &ServerState,
    stream: Stream,
    remote_addr: RemoteAddr,
    unread: &[u8],
    result: hyper::Result<()>,
    http: Arc<HttpState>,
) {
    if unread.starts_with(HTTP2_PREFACE) {
        // hyper doesn't answer this preface. It answers other bytes that aren't HTTP/1.1 with 400 or 431.
        stream.write_best_effort(
            HttpError::bad_request("HTTP/2 isn't supported: use HTTP/1.1").to_http_text().as_bytes(),
        );
    }
    if let Some(cause) = failure_cause(result, &http) {
        record_failure(server, remote_addr, cause);
    }
    // The handshake is over: it no longer counts as in progress.
    drop(http);
    linger(server, stream).await;
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

/// Polls until `poll` is ready; `None` if the connection's deadline passes or the gateway starts aborting first.
async fn before_deadline<T>(
    server: &ServerState,
    http: &HttpState,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    let mut sleep = pin!(sleep_until(http.deadline()));
    // Plain requests, such as those of monitoring, are still served during the drain.
    let mut aborting = pin!(server.lifecycle.wait_past(Phase::Draining));
    poll_fn(|cx| {
        if let Poll::Ready(result) = poll(cx) {
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

fn record_failure(server: &ServerState, remote_addr: RemoteAddr, cause: HandshakeFailure) {
    if cause == HandshakeFailure::Disconnected {
        debug!("handshake failed remote_addr={remote_addr} cause={cause}");
    } else {
        server.refusals.log(format_args!("handshake refused remote_addr={remote_addr} cause={cause}"));
    }
    server.handshakes.failed.add(cause);
}

/// Counts and logs a timeout, unless the gateway is aborting its connections.
fn record_timeout(server: &ServerState, remote_addr: RemoteAddr, stage: HandshakeStage) {
    if server.lifecycle.phase() == Phase::Aborting {
        return;
    }
    server.handshakes.timed_out.add(stage);
    server.refusals.log(format_args!("handshake timed out remote_addr={remote_addr} stage={stage}"));
}
