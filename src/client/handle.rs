//! `GatewayClient`: one client as the rest of the process sees it.

use super::activity::{Activity, Received};
use super::close_reason::CloseReason;
use super::health::Health;
use super::outbox::{Outbox, SendError};
use crate::auth::{AuthInfo, Role};
use crate::clock::Timestamp;
use crate::network::RemoteAddr;
use crate::ws::{CloseDetail, Message};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A connection's unique ID, a UUIDv4, new for every connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(Uuid);

impl ConnId {
    /// A new random ID.
    pub fn random() -> Self {
        ConnId(Uuid::new_v4())
    }

    /// Parses the form with hyphens, 36 characters; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        // `try_parse` accepts other forms too.
        (text.len() == 36).then(|| Uuid::try_parse(text).ok().map(ConnId)).flatten()
    }

    /// A 64-bit hash: both halves folded, because a UUIDv4 has fixed bits in each.
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

/// One authenticated WebSocket connection as the rest of the process sees it.
#[derive(Debug)]
pub struct GatewayClient {
    /// The connection's unique ID.
    pub conn_id: ConnId,
    /// The outgoing messages, and the requests to the session.
    pub outbox: Outbox,
    /// The client's name, role and scopes, shared by all connections with the same credential.
    pub auth: Arc<AuthInfo>,
    /// The peer's address.
    pub remote_addr: RemoteAddr,
    /// When the WebSocket was opened.
    pub connected_at: Timestamp,
    pub(crate) activity: Activity,
}

impl GatewayClient {
    /// A client that has connected now.
    pub fn new(conn_id: ConnId, outbox: Outbox, remote_addr: RemoteAddr, auth: Arc<AuthInfo>) -> Self {
        let connected_at = Timestamp::now();
        GatewayClient { conn_id, outbox, auth, remote_addr, connected_at, activity: Activity::new(connected_at) }
    }

    /// Sends a message after those that are queued: writes it at once, or queues it if the socket accepts no more, the
    /// client's session is running, or the current task's coop budget is spent. Never waits for the peer; waits for
    /// another thread that is writing to this client.
    ///
    /// To send one message to many clients, clone the [`Message`]: the clones share its data.
    ///
    /// # Errors
    /// [`SendError::Full`] if the outbox has no room; the client is then closed as [`CloseReason::SlowConsumer`].
    /// [`SendError::Closed`] if it is closing or disconnected.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.outbox.send(message.into())
    }

    /// As [`send`](Self::send), but a full outbox doesn't close the client.
    ///
    /// # Errors
    /// [`SendError::Full`] if the outbox has no room. [`SendError::Closed`] if the client is closing or disconnected.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.outbox.try_send(message.into())
    }

    /// Requests a close. Returns the close reason: the first one that was given.
    pub fn close(&self, reason: CloseReason) -> CloseReason {
        self.outbox.close(reason)
    }

    /// Requests a close as [`CloseReason::Kicked`], with the first [`CloseReason::MAX_DETAIL_BYTES`] bytes of
    /// `detail` in the close frame. The close record has the detail and who requested the close. Returns whether no
    /// close was requested before.
    pub fn disconnect(&self, requested_by: &Arc<str>, detail: &str) -> bool {
        let detail = CloseDetail { requested_by: Some(requested_by.clone()), text: detail.into() };
        self.outbox.close_with(CloseReason::Kicked, detail)
    }

    /// Why the client is closing, or was closed; `None` while it is open.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.outbox.close_reason()
    }

    /// Sends a ping ahead of all queued messages. Until it is written, [`ping_sent_at`](Self::ping_sent_at) is `None`.
    pub fn ping(&self) {
        self.activity.clear_active();
        self.outbox.ping();
    }

    /// Whether anything was received since the last [`ping`](Self::ping), or nothing is read now because the last
    /// message is still being handled or too much waits for the blocked socket.
    pub fn is_active(&self) -> bool {
        self.activity.is_active()
    }

    /// When the ping whose pong is awaited was written to the socket.
    pub fn ping_sent_at(&self) -> Option<Instant> {
        self.outbox.snapshot().ping_sent_at.map(Timestamp::instant)
    }

    /// The last round trip of a ping, to the microsecond.
    pub fn round_trip(&self) -> Option<Duration> {
        self.activity.round_trip()
    }

    /// The time since the client's last message, or else since its connect, in whole seconds.
    pub fn idle(&self) -> Duration {
        self.activity.idle()
    }

    /// How much was received from the client.
    pub fn received(&self) -> Received {
        self.activity.received()
    }

    /// The presence key, `role:name`: the same for all connections of one name.
    pub fn presence_key(&self) -> &str {
        &self.auth.presence_key
    }

    /// The client's role.
    pub fn role(&self) -> &Role {
        &self.auth.role
    }

    /// The client's scopes; `*` includes all.
    pub fn scopes(&self) -> Arc<[Box<str>]> {
        self.auth.scopes()
    }

    /// The client's health now.
    pub fn health(&self) -> Health {
        Health::of(&self.outbox.snapshot(), self.is_active())
    }

    /// Bytes that this client makes the gateway hold: what is queued for it, and what it has sent that isn't handled.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.activity.held() + self.outbox.queued_bytes() as u64
    }

    /// Adds bytes, outside of the outbox, that the gateway holds because of this client.
    pub(crate) fn add_held(&self, bytes: usize) {
        self.activity.add_held(bytes);
        self.outbox.memory().add(bytes as u64);
    }

    /// Subtracts bytes that were added by [`add_held`](Self::add_held).
    pub(crate) fn sub_held(&self, bytes: usize) {
        self.activity.sub_held(bytes);
        self.outbox.memory().sub(bytes as u64);
    }

    /// Makes [`is_active`](Self::is_active) true until the next ping.
    pub(crate) fn mark_active(&self) {
        self.activity.mark_active();
    }
}

#[cfg(test)]
use super::outbox::OutboxContext;

#[cfg(test)]
impl GatewayClient {
    /// A client without a socket: messages to it stay queued.
    pub(crate) fn unconnected(auth: impl Into<Arc<AuthInfo>>) -> Arc<Self> {
        let context = OutboxContext { max_bytes: 1_000_000.into(), stats: Arc::default(), memory: Arc::default() };
        Arc::new(Self::new(ConnId::random(), Outbox::new(context.into()), RemoteAddr::Unix, auth.into()))
    }
}
