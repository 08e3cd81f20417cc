//! One accepted connection: silent, then HTTP, then a client or nothing.
//!
//! One deadline from accept until the session has the stream. Each stage is boxed or over before the next begins, so
//! that a waiting connection is as small as its stage.

use super::admission::Slot;
use super::handshake_stats::{HandshakeStage, InProgressGuard};
use super::http_state::{HttpIo, HttpState};
use super::lifecycle::Phase;
use super::state::ServerState;
use crate::client::{CloseReason, GatewayClient, Outbox, RemoteAddr};
use crate::heartbeat::TimerGuard;
use crate::http::error::HttpError;
use crate::http::handshake::AcceptedHandshake;
use crate::server::service;
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

/// An upgraded stream with what the peer sent behind its request.
struct Upgraded {
    stream: Stream,
    early: Bytes,
    accepted: AcceptedHandshake,
    /// The handshake is in progress until the client is registered.
    _exchange: Arc<HttpState>,
}

/// A connection that is served to its end: a future as small as the client that it becomes.
pub(crate) enum Connection {
    Handshaking(Pin<Box<dyn Future<Output = Option<Client>> + Send>>),
    Client(Client),
}

/// All that a client's connection consists of.
pub(crate) struct Client {
    session: Session,
    _watch: TimerGuard,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// A connection that was accepted.
    pub(crate) fn new(gateway: Arc<ServerState>, stream: Stream, remote_addr: RemoteAddr, slot: Slot) -> Self {
        Connection::Handshaking(Box::pin(handshake(gateway, stream, remote_addr, slot)))
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Connection::Handshaking(establishing) = this {
            match ready!(establishing.as_mut().poll(cx)) {
                Some(client) => *this = Connection::Client(client),
                None => return Poll::Ready(()),
            }
        }
        match this {
            Connection::Client(client) => Pin::new(&mut client.session).poll(cx),
            Connection::Handshaking(_) => unreachable!("established above"),
        }
    }
}

/// Brings a connection to where it is a client's, if that is what it becomes.
///
/// Not an `async fn`, which would keep room for each argument twice.
fn handshake(
    gateway: Arc<ServerState>,
    stream: Stream,
    remote_addr: RemoteAddr,
    slot: Slot,
) -> impl Future<Output = Option<Client>> {
    let in_progress = InProgressGuard::begin(&gateway.handshakes);
    async move {
        let (spoken, deadline) = {
            let mut sleep = pin!(sleep_until(Instant::now() + gateway.config.handshake.timeout));
            let mut changed = pin!(gateway.lifecycle.changed());
            let spoken = poll_fn(|cx| poll_spoken(cx, &gateway, &stream, changed.as_mut(), sleep.as_mut())).await;
            (spoken, sleep.deadline())
        };
        match spoken {
            Ok(()) => {}
            Err(EarlyEnd::TimedOut) => {
                record_timeout(&gateway, remote_addr, HandshakeStage::NothingSent);
                return None;
            }
            Err(EarlyEnd::Failed(cause)) => {
                gateway.handshakes.failed.add(cause);
                return None;
            }
        }
        let http = HttpState::new(deadline, gateway.handshakes.clone(), in_progress);
        let upgraded = Box::pin(serve_http(&gateway, stream, remote_addr, &slot, http)).await?;
        gateway.handshakes.completed.add(1);
        let (session, watch) = connect(&gateway, upgraded, remote_addr);
        Some(Client { session, _watch: watch, _place: slot.into_permit() })
    }
}

/// Takes a client in.
fn connect(gateway: &ServerState, upgraded: Upgraded, remote_addr: RemoteAddr) -> (Session, TimerGuard) {
    let outbox = Outbox::new(gateway.outboxes.clone());
    let AcceptedHandshake { conn_id, auth, reservation: _reservation } = upgraded.accepted;
    let client = Arc::new(GatewayClient::new(conn_id, outbox, remote_addr, auth));
    let registration = gateway.registry.on_connect(client.clone());
    let watch = gateway.heartbeat.register(&client);
    debug!("connected conn_id={conn_id} presence_key={} remote_addr={remote_addr}", client.auth.presence_key);
    // After the registration: either the drain finds this client in the registry, or the client finds the drain.
    match gateway.lifecycle.phase() {
        Phase::Aborting => client.outbox.abort(CloseReason::Draining),
        Phase::Draining => drop(client.close(CloseReason::Draining)),
        Phase::Starting | Phase::Running => {}
    }
    (Session::new(upgraded.stream, &upgraded.early, registration, gateway.sessions.clone()), watch)
}

/// Why a connection has come to nothing before its first byte.
enum EarlyEnd {
    TimedOut,
    Failed(&'static str),
}

/// Ready with the first byte. Until then nothing of HTTP exists for the connection.
fn poll_spoken(
    cx: &mut Context<'_>,
    gateway: &ServerState,
    stream: &Stream,
    changed: Pin<&mut Notified<'_>>,
    sleep: Pin<&mut Sleep>,
) -> Poll<Result<(), EarlyEnd>> {
    if let Poll::Ready(spoken) = stream.poll_first_byte(cx) {
        let has_spoken = spoken.unwrap_or_default();
        return Poll::Ready(has_spoken.then_some(()).ok_or(EarlyEnd::Failed(HttpError::DISCONNECTED)));
    }
    if gateway.lifecycle.phase() > Phase::Running || changed.poll(cx).is_ready() {
        return Poll::Ready(Err(EarlyEnd::Failed(HttpError::DRAINING)));
    }
    sleep.poll(cx).map(|()| Err(EarlyEnd::TimedOut))
}

/// Speaks HTTP until the connection ends or is upgraded.
async fn serve_http(
    gateway: &Arc<ServerState>,
    stream: Stream,
    remote_addr: RemoteAddr,
    slot: &Slot,
    http: Arc<HttpState>,
) -> Option<Upgraded> {
    let io = TokioIo::new(HttpIo::new(stream, http.clone()));
    let answer = |request| service::answer(gateway, &http, slot, remote_addr, request);
    let mut connection = http1::Builder::new()
        .max_buf_size(gateway.config.handshake.max_header_bytes)
        // The buffer alone is no limit: it grows by doubling.
        .max_header_size(gateway.config.handshake.max_header_bytes)
        .header_read_timeout(None)
        .serve_connection(io, service_fn(answer));
    let Some(result) = drive(&mut connection, gateway, &http).await else {
        if !http.is_plain() && gateway.lifecycle.phase() < Phase::Aborting {
            record_timeout(gateway, remote_addr, http.step());
        }
        return None;
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_stream();
    if result.is_ok()
        && let Some(accepted) = http.take_accepted()
    {
        return Some(Upgraded { stream, early: parts.read_buf, accepted, _exchange: http });
    }
    if let Some(mut cause) = http.failure() {
        // To the preface of HTTP/2 hyper answers nothing.
        if cause == HttpError::DISCONNECTED && result.is_err_and(|error| error.is_parse()) {
            let error = HttpError::from_parse_error(b"400");
            stream.write_best_effort(error.to_bytes().as_bytes());
            cause = error.code;
        }
        debug!("handshake failed remote_addr={remote_addr} cause={cause}");
        gateway.handshakes.failed.add(cause);
    }
    linger(gateway, stream).await;
    None
}

/// Polls the connection to its end. `None` when its time was over first, or the drain's.
async fn drive<S>(
    connection: &mut http1::Connection<TokioIo<HttpIo>, S>,
    gateway: &ServerState,
    http: &HttpState,
) -> Option<hyper::Result<()>>
where
    S: HttpService<Incoming, ResBody = String, Error = Infallible> + Unpin,
    S::Future: Unpin,
{
    let mut sleep = pin!(sleep_until(http.deadline()));
    // While the gateway drains, monitoring that is connected still sees it.
    let mut cut = pin!(gateway.lifecycle.wait_past(Phase::Draining));
    poll_fn(|cx| {
        if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(Some(result));
        }
        if sleep.deadline() != http.deadline() {
            sleep.as_mut().reset(http.deadline());
        }
        let over = sleep.as_mut().poll(cx).is_ready() || cut.as_mut().poll(cx).is_ready();
        if over { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Ends our direction and reads on until the peer ends its own: closing over unread bytes would reset the connection,
/// and the peer could lose our answer.
async fn linger(gateway: &ServerState, mut stream: Stream) {
    let discard = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // Neither a broken connection nor one that goes on for too long matters any more.
    tokio::select! {
        _ = timeout(gateway.config.limits.close_timeout, discard) => {}
        () = gateway.lifecycle.wait_past(Phase::Draining) => {}
    }
}

fn record_timeout(gateway: &ServerState, remote_addr: RemoteAddr, step: HandshakeStage) {
    gateway.handshakes.timed_out.add(step.label());
    info!("handshake timed out remote_addr={remote_addr} step={}", step.label());
}
