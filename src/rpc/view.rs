//! What is shown of clients and of ended connections.

use crate::client::{Closed, GatewayClient, Health};
use crate::clock::rfc_3339;
use serde::Serialize;
use std::time::Duration;

/// One client as lists show it. Seconds are whole, bytes count frame headers except in the outbox.
#[derive(Serialize)]
pub(super) struct ClientView<'a> {
    conn_id: String,
    presence_key: &'a str,
    role: &'a str,
    name: &'a str,
    remote_addr: String,
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
            conn_id: client.conn_id.to_string(),
            presence_key: &client.auth.presence_key,
            role: client.auth.role.as_str(),
            name: &client.auth.name,
            remote_addr: client.remote_addr.to_string(),
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
    conn_id: String,
    presence_key: &'a str,
    role: &'a str,
    name: &'a str,
    remote_addr: String,
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
            conn_id: closed.conn_id.to_string(),
            presence_key: &closed.auth.presence_key,
            role: closed.auth.role.as_str(),
            name: &closed.auth.name,
            remote_addr: closed.remote_addr.to_string(),
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
