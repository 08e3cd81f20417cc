//! The record of an ended connection.

use super::close_reason::CloseReason;
use super::handle::ConnId;
use super::health::Health;
use crate::auth::AuthInfo;
use crate::labels::labels;
use crate::network::RemoteAddr;
use crate::ws::CloseDetail;
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
    /// The connection's ID.
    pub conn_id: ConnId,
    /// The client's identity.
    pub auth: Arc<AuthInfo>,
    /// The peer's address.
    pub remote_addr: RemoteAddr,
    /// When the connection ended.
    pub at: SystemTime,
    /// How long it lasted.
    pub connected: Duration,
    /// The time since the client's last message, in whole seconds.
    pub idle: Duration,
    /// The client's health, from the close reason and from the outbox at the end of the session.
    pub health: Health,
    /// Why the connection ended.
    pub reason: CloseReason,
    /// Which side ended it.
    pub closed_by: ClosedBy,
    /// The last measured round trip of a ping.
    pub round_trip: Option<Duration>,
    /// The most bytes that were ever queued for the client.
    pub outbox_peak_bytes: u32,
    /// Who requested the close and in which words, or which limit a slow consumer exceeded.
    pub detail: Option<CloseDetail>,
}
