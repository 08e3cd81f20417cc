//! HTTP on one connection: plain requests, and the upgrade.

use super::admission::Slot;
use super::handshake_stats::HandshakeStage;
use super::http_io::HttpIo;
use super::http_state::{HttpState, Upgrade};
use super::lifecycle::Phase;
use super::opening::Opening;
use super::pending::PendingConnections;
use super::proxy_protocol;
use super::service;
use super::state::ServerState;
use crate::client::RemoteAddr;
use crate::http::error::{HandshakeFailure, HttpError};
use crate::http::handshake::AcceptedHandshake;
use crate::memory::Charge;
use crate::ws::Stream;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use log::warn;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep_until, timeout};

/// The start of HTTP/2's connection preface (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2";

/// An upgraded stream.
pub struct Upgraded {
    pub stream: Stream,
    /// Bytes that were read together with the request.
    pub early: Bytes,
    pub accepted: AcceptedHandshake,
    /// The client's address, which a proxy may have passed on.
    pub remote_addr: RemoteAddr,
    /// Counts the handshake as in progress until the client is registered.
    pub _http: Arc<HttpState>,
}

/// How HTTP ended on a connection.
enum HttpEnd {
    /// By an upgrade; hyper has written all earlier responses.
    Upgrade(Upgrade),
    /// By the peer, by an error, or by a response with `Connection: close`.
    Closed(hyper::Result<()>),
}

/// Serves HTTP until the connection ends or is upgraded.
pub async fn serve_http(
    server: &Arc<ServerState>,
    stream: Stream,
    opening: Opening,
    slot: &Slot,
    http: Arc<HttpState>,
) -> Option<Upgraded> {
    let (remote_addr, early) = (opening.remote_addr, opening.into_early());
    // The most that hyper keeps of a request's headers.
    let max_header_bytes = server.config.load().handshake.max_header_bytes;
    let _headers = Charge::new(&server.memory, max_header_bytes as u64);
    let handle = |request| service::handle(server, &http, slot, remote_addr, request);
    let mut connection = http1::Builder::new()
        .max_buf_size(max_header_bytes)
        // The buffer size alone is no exact limit: the buffer grows by doubling.
        .max_header_size(max_header_bytes)
        .header_read_timeout(None)
        // Some embedded clients compare header names case-sensitively.
        .title_case_headers(true)
        // A client that shuts down its write half after a request still gets the response.
        .half_close(true)
        .serve_connection(TokioIo::new(HttpIo::new(stream, early, http.clone())), service_fn(handle));
    let end = before_deadline(server, &http, |cx| match connection.poll_without_shutdown(cx) {
        Poll::Ready(result) => Poll::Ready(HttpEnd::Closed(result)),
        Poll::Pending if http.is_blocked() => Poll::Pending,
        Poll::Pending => http.take_upgrade().map_or(Poll::Pending, |upgrade| Poll::Ready(HttpEnd::Upgrade(upgrade))),
    });
    let end = end.await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().stream;
    match end {
        Some(HttpEnd::Upgrade(Upgrade::Client { accepted, remote_addr })) => {
            switch_protocols(server, &stream, remote_addr, accepted.response.as_bytes(), &http).await?;
            Some(Upgraded { stream, early: parts.read_buf, accepted, remote_addr, _http: http })
        }
        Some(HttpEnd::Upgrade(Upgrade::Refusal(response))) => {
            switch_protocols(server, &stream, remote_addr, &response, &http).await?;
            linger(server, stream, slot).await;
            None
        }
        Some(HttpEnd::Closed(result)) => {
            finish_http(server, &stream, remote_addr, &parts.read_buf, result, &http);
            if !http.is_displaced() {
                // The handshake is over: it no longer counts as in progress.
                drop(http);
                linger(server, stream, slot).await;
            }
            None
        }
        None => {
            if http.is_blocked() {
                stream.reset_on_drop();
            }
            match http.timed_out_stage() {
                Some(_) if http.is_displaced() => server.record_failure(remote_addr, HandshakeFailure::Displaced),
                Some(stage) => server.record_timeout(remote_addr, stage),
                None => {}
            }
            None
        }
    }
}

/// Writes the 101 response, with a close frame if the handshake is refused. Not left to hyper, which adds `close` to
/// `Connection` if the request has it, so that clients refuse the response. `None` if it can't be written by the
/// deadline.
async fn switch_protocols(
    server: &ServerState,
    stream: &Stream,
    remote_addr: RemoteAddr,
    response: &[u8],
    http: &HttpState,
) -> Option<()> {
    let mut left = response;
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
        Some(Err(_)) => server.record_failure(remote_addr, HandshakeFailure::Disconnected),
        None => {
            stream.reset_on_drop();
            server.record_timeout(remote_addr, HandshakeStage::ResponseNotRead);
        }
    }
    None
}

/// Counts the failure of a connection that ended as HTTP, if it is one, and answers what hyper doesn't. `unread` are
/// bytes after the last request.
fn finish_http(
    server: &ServerState,
    stream: &Stream,
    remote_addr: RemoteAddr,
    unread: &[u8],
    result: hyper::Result<()>,
    http: &HttpState,
) {
    if unread.starts_with(HTTP2_PREFACE) {
        // hyper doesn't answer this preface. It answers other bytes that aren't HTTP/1.1 with 400 or 431.
        stream.write_best_effort(
            HttpError::bad_request("HTTP/2 isn't supported: use HTTP/1.1").to_http_text().as_bytes(),
        );
    }
    if proxy_protocol::is_header(unread) {
        server.proxy_warning.call_once(|| {
            warn!(
                "a PROXY protocol header is refused: if remote_addr is your proxy, set proxy.protocol and add it to \
                 proxy.trusted remote_addr={remote_addr}"
            );
        });
    }
    if let Some(cause) = failure_cause(result, http) {
        server.record_failure(remote_addr, cause);
    }
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

/// Polls until `poll` is ready; `None` if the connection's deadline passes, it is dropped to make room, or the gateway
/// starts aborting first.
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
        let is_over = http.poll_dropped(cx).is_ready()
            || sleep.as_mut().poll(cx).is_ready()
            || aborting.as_mut().poll(cx).is_ready();
        if is_over { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Shuts down the write half, and discards input until the peer closes, `close_timeout` passes, or the connection is
/// dropped to make room: closing a socket with unread bytes would reset the connection, and the peer might lose the
/// response.
async fn linger(server: &ServerState, mut stream: Stream, slot: &Slot) {
    let pending = server.pending_of(slot, true).map(PendingConnections::add);
    let dropped = poll_fn(|cx| pending.as_ref().map_or(Poll::Pending, |pending| pending.poll_dropped(cx)));
    let discard = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // Errors don't matter: the connection is dropped next.
    tokio::select! {
        _ = timeout(server.config.load().limits.close_timeout, discard) => {}
        () = dropped => {}
        () = server.lifecycle.wait_past(Phase::Draining) => {}
    }
}
