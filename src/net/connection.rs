//! One accepted connection: silent, then HTTP, then a client or nothing.
//!
//! One deadline from accept until the session has the stream. Each stage is boxed or over before the next begins, so
//! that a waiting connection is as small as its stage.

use super::admission::Place;
use super::answer::Refusal;
use super::exchange::{Answering, Exchange};
use super::gateway::{Gateway, Phase};
use super::service;
use super::upgrade::Accepted;
use crate::client::{CloseReason, GatewayClient, RemoteAddr, Sender, Session, Stream};
use crate::ops::{InProgress, Step};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use log::{debug, info};
use std::convert::Infallible;
use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until, timeout};

/// An upgraded stream with what the peer sent behind its request.
struct Upgraded {
    stream: Stream,
    early: Bytes,
    accepted: Accepted,
    /// The handshake is in progress until the client is registered.
    exchange: Arc<Exchange>,
}

/// Serves a connection to its end, and gives its place back.
pub(super) async fn serve(gateway: Arc<Gateway>, stream: Stream, remote_addr: RemoteAddr, place: Place) {
    let deadline = Instant::now() + gateway.config.handshake.timeout;
    let in_progress = InProgress::begin(&gateway.handshakes);
    if !has_spoken(&gateway, &stream, remote_addr, deadline).await {
        return;
    }
    let exchange = Exchange::new(deadline, gateway.handshakes.clone(), in_progress);
    let http = Box::pin(http(&gateway, stream, remote_addr, &place, exchange));
    let Some(upgraded) = http.await else { return };
    place.becomes_client();
    gateway.handshakes.completed.add(1);
    let sender = Sender::new(gateway.senders.clone());
    let Accepted { conn_id, auth } = upgraded.accepted;
    let client = Arc::new(GatewayClient::new(conn_id, sender, remote_addr, auth));
    let registration = gateway.registry.on_connect(client.clone());
    let _watch = gateway.heartbeat.watch(&client);
    debug!("connected conn_id={conn_id} presence_key={} remote_addr={remote_addr}", client.auth.presence_key);
    // After the registration: either the drain finds this client in the registry, or the client finds the drain.
    match gateway.phase() {
        Phase::Cut => client.sender.cut(CloseReason::Draining),
        Phase::Draining => drop(client.close(CloseReason::Draining)),
        Phase::Starting | Phase::Running => {}
    }
    let session = Session::new(upgraded.stream, &upgraded.early, registration, gateway.sessions.clone());
    drop((client, upgraded.early, upgraded.exchange));
    session.run().await;
}

/// Waits for the first byte. Until then nothing of HTTP exists for the connection.
async fn has_spoken(gateway: &Gateway, stream: &Stream, remote_addr: RemoteAddr, deadline: Instant) -> bool {
    let cause = tokio::select! {
        spoken = stream.first_byte() => match spoken {
            Ok(true) => return true,
            Ok(false) | Err(_) => Refusal::DISCONNECTED,
        },
        () = gateway.left_phase(Phase::Running) => Refusal::DRAINING,
        () = sleep_until(deadline) => {
            timed_out(gateway, remote_addr, Step::NothingSent);
            return false;
        }
    };
    gateway.handshakes.failed.add(cause);
    false
}

/// Speaks HTTP until the connection ends or is upgraded.
async fn http(
    gateway: &Arc<Gateway>,
    stream: Stream,
    remote_addr: RemoteAddr,
    place: &Place,
    exchange: Arc<Exchange>,
) -> Option<Upgraded> {
    let io = TokioIo::new(Answering::new(stream, exchange.clone()));
    let answer = |request| ready(Ok::<_, Infallible>(service::answer(gateway, &exchange, place, remote_addr, request)));
    let mut connection = http1::Builder::new()
        .max_buf_size(gateway.config.handshake.max_header_bytes)
        // The buffer alone is no limit: it grows by doubling.
        .max_header_size(gateway.config.handshake.max_header_bytes)
        .header_read_timeout(None)
        .serve_connection(io, service_fn(answer));
    let Some(result) = drive(&mut connection, gateway, &exchange).await else {
        if !exchange.is_plain() && gateway.phase() < Phase::Cut {
            timed_out(gateway, remote_addr, exchange.step());
        }
        return None;
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_stream();
    if result.is_ok()
        && let Some(accepted) = exchange.take_accepted()
    {
        return Some(Upgraded { stream, early: parts.read_buf, accepted, exchange });
    }
    if let Some(mut cause) = exchange.failure() {
        // To the preface of HTTP/2 hyper answers nothing.
        if cause == Refusal::DISCONNECTED && result.is_err_and(|error| error.is_parse()) {
            let refusal = Refusal::not_http(b"400");
            stream.write_at_once(refusal.to_http_1_1().as_bytes());
            cause = refusal.code;
        }
        debug!("handshake failed remote_addr={remote_addr} cause={cause}");
        gateway.handshakes.failed.add(cause);
    }
    linger(gateway, stream).await;
    None
}

/// Polls the connection to its end. `None` when its time was over first, or the drain's.
async fn drive<S>(
    connection: &mut http1::Connection<TokioIo<Answering>, S>,
    gateway: &Gateway,
    exchange: &Exchange,
) -> Option<hyper::Result<()>>
where
    S: HttpService<Incoming, ResBody = String, Error = Infallible> + Unpin,
    S::Future: Unpin,
{
    let mut sleep = pin!(sleep_until(exchange.deadline()));
    // While the gateway drains, monitoring that is connected still sees it.
    let mut cut = pin!(gateway.left_phase(Phase::Draining));
    poll_fn(|cx| {
        if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(Some(result));
        }
        if sleep.deadline() != exchange.deadline() {
            sleep.as_mut().reset(exchange.deadline());
        }
        let over = sleep.as_mut().poll(cx).is_ready() || cut.as_mut().poll(cx).is_ready();
        if over { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Ends our direction and reads on until the peer ends its own: closing over unread bytes would reset the connection,
/// and the peer could lose our answer.
async fn linger(gateway: &Gateway, mut stream: Stream) {
    let discard = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // Neither a broken connection nor one that goes on for too long matters any more.
    tokio::select! {
        _ = timeout(gateway.config.limits.close_timeout, discard) => {}
        () = gateway.left_phase(Phase::Draining) => {}
    }
}

fn timed_out(gateway: &Gateway, remote_addr: RemoteAddr, step: Step) {
    gateway.handshakes.timed_out.add(step.label());
    info!("handshake timed out remote_addr={remote_addr} step={}", step.label());
}
