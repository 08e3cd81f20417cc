//! One connection, and all of them: identity, session, outbox, registry.
//!
//! Knows nothing of HTTP, of timers that ping, or of what the messages mean.

mod boundary;
mod broadcast;
mod close;
mod inbox;
mod outbox;
mod outgoing;
mod registry;
mod sender;
mod session;
mod stats;
mod stream;

pub use broadcast::broadcast;
pub use close::CloseReason;
pub use outbox::Bounds;
pub use registry::{ClientRegistry, HealthSnapshot, Registration};
pub use sender::{SendError, Sender, SenderContext};
pub use session::{Session, SessionContext};
pub use stats::Stats;
pub use stream::Stream;
pub use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::auth::AuthInfo;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A connection's unique ID, a UUIDv4, new for every connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConnId(Uuid);

impl ConnId {
    /// A new random ID.
    pub fn random() -> Self {
        ConnId(Uuid::new_v4())
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

/// What to do with a message from a client.
///
/// Called on the session's task, one message at a time and in order: it must not block. Answers go through
/// [`GatewayClient::send`]. A panic closes this client with [`CloseReason::InternalError`] and no other.
pub trait Handler: Send + Sync + 'static {
    /// One text message has come.
    fn on_message(&self, client: &Arc<GatewayClient>, text: Utf8Bytes);
}

/// One authenticated WebSocket connection as the rest of the process sees it.
#[derive(Debug)]
pub struct GatewayClient {
    /// Names this connection and no other.
    pub conn_id: ConnId,
    /// What others ask of the session goes in here.
    pub sender: Sender,
    /// Who it is and what it may do, shared by all connections of the credential.
    pub auth: Arc<AuthInfo>,
    /// The peer's address.
    pub remote_addr: RemoteAddr,
    /// When the WebSocket was opened.
    pub connected_at: Instant,
    health: Health,
}

/// What is known of a client being alive. The heartbeat asks, the session answers.
#[derive(Debug, Default)]
struct Health {
    /// Something was received since the last ping was asked for.
    heard: AtomicBool,
    /// The last measured round trip in microseconds; 0: none yet.
    round_trip: AtomicU32,
}

impl GatewayClient {
    /// A client that connects now.
    pub fn new(conn_id: ConnId, sender: Sender, remote_addr: RemoteAddr, auth: Arc<AuthInfo>) -> Self {
        let (connected_at, health) = (Instant::now(), Health::default());
        GatewayClient { conn_id, sender, auth, remote_addr, connected_at, health }
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
        self.sender.send(text.into())
    }

    /// Asks the session to close, and returns the reason that counts: the first one given.
    pub fn close(&self, reason: CloseReason) -> CloseReason {
        self.sender.close(reason)
    }

    /// Why it is being closed, or was; `None` while it is open.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.sender.close_reason()
    }

    /// Sends a ping, before all messages. Until it is written, [`ping_sent_at`](Self::ping_sent_at) is `None`.
    pub fn ping(&self) {
        self.health.heard.store(false, Relaxed);
        self.sender.ping();
    }

    /// Whether anything was received since the last ping was asked for.
    pub fn is_heard(&self) -> bool {
        self.health.heard.load(Relaxed)
    }

    /// When the ping that waits for its pong was really written to the socket.
    pub fn ping_sent_at(&self) -> Option<Instant> {
        self.sender.ping_sent_at()
    }

    /// The last round trip measured by a ping and its pong.
    pub fn round_trip(&self) -> Option<Duration> {
        match self.health.round_trip.load(Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros.into())),
        }
    }

    /// The session received something. Others only play a session's part, to measure the heartbeat.
    #[doc(hidden)]
    pub fn heard(&self) {
        if !self.is_heard() {
            self.health.heard.store(true, Relaxed);
        }
    }

    /// The session received the pong for the ping that was sent last.
    fn measured(&self, round_trip: Duration) {
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX).max(1);
        self.health.round_trip.store(micros, Relaxed);
    }
}
