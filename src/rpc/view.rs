//! What is shown of clients and of ended connections.

use crate::auth::AuthInfo;
use crate::client::{Closed, ConnId, GatewayClient, Health, RemoteAddr};
use crate::clock::rfc_3339;
use serde::Serialize;
use std::time::Duration;

/// Whose connection it is, or was.
#[derive(Serialize)]
struct Who<'a> {
    conn_id: String,
    presence_key: &'a str,
    role: &'a str,
    name: &'a str,
    remote_addr: String,
}

impl<'a> Who<'a> {
    fn of(conn_id: ConnId, auth: &'a AuthInfo, remote_addr: RemoteAddr) -> Self {
        Who {
            conn_id: conn_id.to_string(),
            presence_key: &auth.presence_key,
            role: auth.role.as_str(),
            name: &auth.name,
            remote_addr: remote_addr.to_string(),
        }
    }
}

/// One client as lists show it. Seconds are whole, bytes count frame headers except in the outbox.
#[derive(Serialize)]
pub(super) struct ClientView<'a> {
    #[serde(flatten)]
    who: Who<'a>,
    connected_at: String,
    connected_seconds: u64,
    idle_seconds: u64,
    health: Health,
    round_trip_microseconds: Option<u64>,
    messages: InOut,
    bytes: InOut,
    outbox: OutboxView,
}

#[derive(Serialize)]
struct InOut {
    r#in: u64,
    out: u64,
}

#[derive(Serialize)]
struct OutboxView {
    messages: usize,
    bytes: usize,
    highest_bytes: u32,
}

impl<'a> ClientView<'a> {
    pub(super) fn of(client: &'a GatewayClient) -> Self {
        let (sender, (messages_in, bytes_in)) = (client.sender.state(), client.received());
        ClientView {
            who: Who::of(client.conn_id, &client.auth, client.remote_addr),
            connected_at: rfc_3339(client.connected_at.utc()),
            connected_seconds: client.connected_at.elapsed().as_secs(),
            idle_seconds: client.idle().as_secs(),
            health: client.health(),
            round_trip_microseconds: client.round_trip().map(micros),
            messages: InOut { r#in: messages_in, out: sender.messages_out },
            bytes: InOut { r#in: bytes_in, out: sender.bytes_out },
            outbox: OutboxView {
                messages: sender.outbox_messages,
                bytes: sender.outbox_bytes,
                highest_bytes: sender.outbox_highest_bytes,
            },
        }
    }
}

/// One client with all that is known of it.
#[derive(Serialize)]
pub(super) struct WholeClientView<'a> {
    #[serde(flatten)]
    pub(super) client: ClientView<'a>,
    pub(super) scopes: &'a [Box<str>],
    pub(super) subscriptions: Vec<&'a str>,
    pub(super) calls: CallsView,
}

/// Calls under way: those it is to answer, and those that it has made.
#[derive(Serialize)]
pub(super) struct CallsView {
    pub(super) to_answer: usize,
    pub(super) made: usize,
}

/// One ended connection.
#[derive(Serialize)]
pub(super) struct ClosedView<'a> {
    #[serde(flatten)]
    who: Who<'a>,
    closed_at: String,
    connected_seconds: u64,
    idle_seconds: u64,
    health: Health,
    reason: &'static str,
    code: u16,
    closed_by: &'static str,
    round_trip_microseconds: Option<u64>,
    outbox_highest_bytes: u32,
}

impl<'a> ClosedView<'a> {
    pub(super) fn of(closed: &'a Closed) -> Self {
        ClosedView {
            who: Who::of(closed.conn_id, &closed.auth, closed.remote_addr),
            closed_at: rfc_3339(closed.at),
            connected_seconds: closed.connected.as_secs(),
            idle_seconds: closed.idle.as_secs(),
            health: closed.health,
            reason: closed.reason.label(),
            code: closed.reason.code(),
            closed_by: closed.side.label(),
            round_trip_microseconds: closed.round_trip.map(micros),
            outbox_highest_bytes: closed.outbox_highest_bytes,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}
