//! The start of a connection: a PROXY protocol header, if a trusted proxy sends one, and the first byte of a request.

use super::admission::Slot;
use super::handshake_stats::HandshakeStage;
use super::lifecycle::Phase;
use super::pending::PendingConnection;
use super::proxy_protocol;
use super::state::ServerState;
use crate::client::RemoteAddr;
use crate::http::error::{HandshakeFailure, HttpError};
use crate::ws::Stream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, Sleep};

/// What is known of a connection before its first request.
pub struct Opening {
    /// The peer's address, or the one in its PROXY protocol header.
    pub remote_addr: RemoteAddr,
    /// Boxed, so that it takes no memory of the connections that begin without such a header.
    header: Option<Box<HeaderInput>>,
}

/// How long a connection that was accepted before a drain may stay silent: its request may be on the way.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// The bytes of a connection that begins with a PROXY protocol header.
#[derive(Default)]
struct HeaderInput {
    /// Once the header is complete, the bytes after it.
    received: Vec<u8>,
    is_complete: bool,
}

/// Why a connection ended before its first request.
pub enum OpeningError {
    TimedOut,
    Failed(HandshakeFailure),
    Refused(HttpError),
}

impl Opening {
    /// The start of a connection from `peer`.
    pub fn new(server: &ServerState, slot: &Slot, peer: RemoteAddr) -> Self {
        let config = server.config.load();
        let proxy = &config.proxy;
        let expects_header = proxy.protocol && slot.role.serves_clients() && proxy.trusted.contains(peer);
        Opening { remote_addr: peer, header: expects_header.then(Box::default) }
    }

    /// The bytes that were received with a PROXY protocol header.
    pub fn into_early(self) -> Vec<u8> {
        self.header.map(|header| header.received).unwrap_or_default()
    }

    /// Waits for the first byte of a request without consuming it, so that a silent connection needs no HTTP state. Ends
    /// also when the connection is no longer wanted.
    pub fn poll<'s>(
        &mut self,
        cx: &mut Context<'_>,
        server: &'s ServerState,
        (stream, slot): (&Stream, &Slot),
        pending: Option<&PendingConnection>,
        mut phase_change: Pin<&mut Notified<'s>>,
        mut timeout: Pin<&mut Sleep>,
    ) -> Poll<Result<(), OpeningError>> {
        if let Poll::Ready(result) = self.poll_first_byte(cx, server, stream, slot) {
            return Poll::Ready(result);
        }
        let failed = |cause| Poll::Ready(Err(OpeningError::Failed(cause)));
        while phase_change.as_mut().poll(cx).is_ready() {
            phase_change.set(server.lifecycle.changed());
        }
        match server.lifecycle.phase() {
            Phase::Running => {}
            Phase::Draining => {
                let latest = Instant::now() + DRAIN_GRACE;
                if timeout.deadline() > latest {
                    timeout.as_mut().reset(latest);
                }
            }
            Phase::Aborting => return failed(HandshakeFailure::Draining),
        }
        if pending.is_some_and(|pending| pending.poll_dropped(cx).is_ready()) {
            return failed(HandshakeFailure::Displaced);
        }
        ready!(timeout.poll(cx));
        if server.is_ready() { Poll::Ready(Err(OpeningError::TimedOut)) } else { failed(HandshakeFailure::Draining) }
    }

    fn poll_first_byte(
        &mut self,
        cx: &mut Context<'_>,
        server: &ServerState,
        stream: &Stream,
        slot: &Slot,
    ) -> Poll<Result<(), OpeningError>> {
        if let Some(input) = self.header.as_mut().filter(|input| !input.is_complete) {
            let header = ready!(proxy_protocol::poll_header(cx, stream, &mut input.received));
            let client = header.map_err(|_| OpeningError::Refused(HttpError::invalid_proxy_header()))?;
            input.is_complete = true;
            if let Some(client) = client {
                self.remote_addr = client;
                let address = server.addresses.connect(client);
                slot.set_address(
                    address.map_err(|exceeded| OpeningError::Refused(HttpError::address_limit(exceeded)))?,
                );
            }
        }
        if self.header.as_ref().is_some_and(|input| !input.received.is_empty()) {
            return Poll::Ready(Ok(()));
        }
        let has_byte = ready!(stream.poll_first_byte(cx)).unwrap_or(false);
        Poll::Ready(if has_byte { Ok(()) } else { Err(OpeningError::Failed(HandshakeFailure::Disconnected)) })
    }

    /// Records why the connection ended, and answers if it is refused.
    pub fn record(&self, server: &ServerState, stream: &Stream, error: &OpeningError) {
        match error {
            OpeningError::TimedOut => server.record_timeout(self.remote_addr, HandshakeStage::NothingSent),
            OpeningError::Failed(cause) => server.record_failure(self.remote_addr, *cause),
            OpeningError::Refused(error) => server.refuse(stream, self.remote_addr, error),
        }
    }
}
