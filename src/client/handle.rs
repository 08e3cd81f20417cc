//! One client as the rest of the process sees it.

use super::activity::Activity;
use super::close_reason::CloseReason;
use super::health::Health;
use super::outbox::{Outbox, SendError};
use crate::auth::{AuthInfo, Role};
use crate::clock::Timestamp;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

/// A connection's unique ID, a UUIDv4, new for every connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(Uuid);

impl ConnId {
    /// A new random ID.
    pub fn random() -> Self {
        ConnId(Uuid::new_v4())
    }

    /// The ID that a text shows in hexadecimal digits with hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        // The parser takes other forms too.
        (text.len() == 36).then(|| Uuid::try_parse(text).ok().map(ConnId)).flatten()
    }

    /// 64 bits that differ from ID to ID: both halves folded, because a UUIDv4 has fixed bits in each.
    pub fn bits(self) -> u64 {
        let (high, low) = self.0.as_u64_pair();
        high ^ low.rotate_left(32)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAddr {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix socket, whose clients have no address.
    Unix,
}

impl fmt::Display for RemoteAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAddr::Tcp(addr) => addr.fmt(f),
            RemoteAddr::Unix => f.write_str("unix"),
        }
    }
}

/// One authenticated WebSocket connection as the rest of the process sees it.
#[derive(Debug)]
pub struct GatewayClient {
    /// Names this connection and no other.
    pub conn_id: ConnId,
    /// What others ask of the session goes in here.
    pub outbox: Outbox,
    /// Who it is and what it may do, shared by all connections of the credential.
    pub auth: Arc<AuthInfo>,
    /// The peer's address.
    pub remote_addr: RemoteAddr,
    /// When the WebSocket was opened.
    pub connected_at: Timestamp,
    pub(crate) activity: Activity,
}

impl GatewayClient {
    /// A client that connects now.
    pub fn new(conn_id: ConnId, outbox: Outbox, remote_addr: RemoteAddr, auth: Arc<AuthInfo>) -> Self {
        let connected_at = Timestamp::now();
        GatewayClient { conn_id, outbox, auth, remote_addr, connected_at, activity: Activity::new(connected_at) }
    }

    /// Sends a text message, behind those that wait: writes it if the socket takes it, else queues it. Never waits for the
    /// peer; for another thread that writes to this client at the same time, as long as that call takes.
    ///
    /// One text for many clients is shared: clone the [`Utf8Bytes`].
    ///
    /// # Errors
    /// [`SendError::Full`] when the outbox has no room: the client is then closed as
    /// [`CloseReason::SlowConsumer`]. [`SendError::Closed`] once it is being closed.
    pub fn send(&self, text: impl Into<Utf8Bytes>) -> Result<(), SendError> {
        self.outbox.send(text.into())
    }

    /// The same for what may as well be refused: a client that has no room for it stays.
    ///
    /// # Errors
    /// [`SendError::Full`] when the outbox has no room, [`SendError::Closed`] once the client is being closed.
    pub fn try_send(&self, text: impl Into<Utf8Bytes>) -> Result<(), SendError> {
        self.outbox.try_send(text.into())
    }

    /// Asks the session to close, and returns the reason that counts: the first one given.
    pub fn close(&self, reason: CloseReason) -> CloseReason {
        self.outbox.close(reason)
    }

    /// Asks the session to close as [`CloseReason::Kicked`], and to tell the client why in these words, of which the
    /// close frame takes [`CloseReason::MAX_DETAIL_BYTES`]. Whether it wasn't being closed already.
    pub fn disconnect(&self, detail: &str) -> bool {
        self.outbox.disconnect(detail)
    }

    /// Why it is being closed, or was; `None` while it is open.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.outbox.close_reason()
    }

    /// Sends a ping, before all messages. Until it is written, [`ping_sent_at`](Self::ping_sent_at) is `None`.
    pub fn ping(&self) {
        self.activity.clear_active();
        self.outbox.ping();
    }

    /// Whether anything was received since the last ping was asked for.
    pub fn is_active(&self) -> bool {
        self.activity.is_active()
    }

    /// When the ping that waits for its pong was really written to the socket.
    pub fn ping_sent_at(&self) -> Option<Instant> {
        self.outbox.snapshot().ping_sent_at.map(Timestamp::instant)
    }

    /// The last round trip measured by a ping and its pong.
    pub fn round_trip(&self) -> Option<Duration> {
        self.activity.round_trip()
    }

    /// How long it has sent no message, in whole seconds; since it came, if it never did.
    pub fn idle(&self) -> Duration {
        self.activity.idle()
    }

    /// Text messages, and bytes with frame headers, that came from it.
    pub fn received(&self) -> (u64, u64) {
        self.activity.totals()
    }

    /// Names the client across connections: `role:name`.
    pub fn presence_key(&self) -> &str {
        &self.auth.presence_key
    }

    /// The client's role.
    pub fn role(&self) -> &Role {
        &self.auth.role
    }

    /// What the client may do; `*` is everything.
    pub fn scopes(&self) -> &[Box<str>] {
        &self.auth.scopes
    }

    /// How it is doing now.
    pub fn health(&self) -> Health {
        Health::of(&self.outbox.snapshot(), self.is_active())
    }

    /// The session received something. Others only play a session's part, to measure the heartbeat.
    #[doc(hidden)]
    pub fn mark_active(&self) {
        self.activity.mark_active();
    }
}

#[cfg(test)]
use {super::outbox::OutboxContext, crate::ws::QueueLimits};

#[cfg(test)]
impl GatewayClient {
    /// One without a socket: what it is sent waits.
    pub(crate) fn unconnected(auth: impl Into<Arc<AuthInfo>>) -> Arc<Self> {
        let context = OutboxContext { limits: QueueLimits { messages: 1000, bytes: 1_000_000 }, stats: Arc::default() };
        Arc::new(Self::new(ConnId::random(), Outbox::new(context.into()), RemoteAddr::Unix, auth.into()))
    }
}
