//! The record of an ended connection.

use super::close_reason::CloseReason;
use super::handle::{ConnId, RemoteAddr};
use super::health::Health;
use crate::auth::AuthInfo;
use crate::labels::labels;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

labels! {
    /// Which side ended a connection.
    pub enum ClosedBy {
        /// The client: it sent the first close frame.
        Client = "client",
        /// The gateway.
        Gateway = "gateway",
        /// Neither: the transport broke.
        Network = "network",
    }
}

/// One ended connection.
#[derive(Clone, Debug)]
pub struct CloseRecord {
    /// Whose it was.
    pub conn_id: ConnId,
    /// Who that was.
    pub auth: Arc<AuthInfo>,
    /// The peer's address.
    pub remote_addr: RemoteAddr,
    /// When it ended.
    pub at: SystemTime,
    /// How long it lasted.
    pub connected: Duration,
    /// Since its last message.
    pub idle: Duration,
    /// How it was doing just before.
    pub health: Health,
    /// Why it ended.
    pub reason: CloseReason,
    /// Who ended it.
    pub closed_by: ClosedBy,
    /// The last round trip that was measured.
    pub round_trip: Option<Duration>,
    /// The most payload bytes that ever waited for it.
    pub outbox_peak_bytes: u32,
}
