//! Clients and closed connections as methods show them, in JSON.

use crate::auth::AuthInfo;
use crate::client::{CloseRecord, ConnId, GatewayClient, Health, RemoteAddr};
use crate::clock::rfc_3339;
use crate::rpc::node_calls::ClientCalls;
use serde::Serialize;
use std::time::Duration;

/// The members that identify a connection.
#[derive(Serialize)]
struct Identity<'a> {
    conn_id: String,
    presence_key: &'a str,
    role: &'a str,
    name: &'a str,
    remote_addr: String,
}

impl<'a> Identity<'a> {
    fn of(conn_id: ConnId, auth: &'a AuthInfo, remote_addr: RemoteAddr) -> Self {
        Identity {
            conn_id: conn_id.to_string(),
            presence_key: &auth.presence_key,
            role: auth.role.as_str(),
            name: &auth.name,
            remote_addr: remote_addr.to_string(),
        }
    }
}

/// A client as `clients.list` shows it. Durations are in whole seconds, the round trip in microseconds. Bytes include
/// frame headers, except in the outbox.
#[derive(Serialize)]
pub struct ClientView<'a> {
    #[serde(flatten)]
    identity: Identity<'a>,
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
    peak_bytes: u32,
}

impl<'a> ClientView<'a> {
    pub fn of(client: &'a GatewayClient) -> Self {
        let (outbox, received) = (client.outbox.snapshot(), client.received());
        ClientView {
            identity: Identity::of(client.conn_id, &client.auth, client.remote_addr),
            connected_at: rfc_3339(client.connected_at.to_system_time()),
            connected_seconds: client.connected_at.elapsed().as_secs(),
            idle_seconds: client.idle().as_secs(),
            health: Health::of(&outbox, client.is_active()),
            round_trip_microseconds: client.round_trip().map(micros),
            messages: InOut { r#in: received.messages, out: outbox.messages_out },
            bytes: InOut { r#in: received.bytes, out: outbox.bytes_out },
            outbox: OutboxView {
                messages: outbox.outbox_messages,
                bytes: outbox.outbox_bytes,
                peak_bytes: outbox.outbox_peak_bytes,
            },
        }
    }
}

/// A client as `clients.get` shows it.
#[derive(Serialize)]
pub struct ClientDetails<'a> {
    #[serde(flatten)]
    pub client: ClientView<'a>,
    pub scopes: &'a [Box<str>],
    pub subscriptions: Vec<&'a str>,
    pub calls: ClientCalls,
}

/// A closed connection as `clients.closed` shows it.
#[derive(Serialize)]
pub struct ClosedView<'a> {
    #[serde(flatten)]
    identity: Identity<'a>,
    closed_at: String,
    connected_seconds: u64,
    idle_seconds: u64,
    health: Health,
    reason: &'static str,
    code: u16,
    closed_by: &'static str,
    round_trip_microseconds: Option<u64>,
    outbox_peak_bytes: u32,
    requested_by: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> ClosedView<'a> {
    pub fn of(closed: &'a CloseRecord) -> Self {
        ClosedView {
            identity: Identity::of(closed.conn_id, &closed.auth, closed.remote_addr),
            closed_at: rfc_3339(closed.at),
            connected_seconds: closed.connected.as_secs(),
            idle_seconds: closed.idle.as_secs(),
            health: closed.health,
            reason: closed.reason.label(),
            code: closed.reason.code(),
            closed_by: closed.closed_by.label(),
            round_trip_microseconds: closed.round_trip.map(micros),
            outbox_peak_bytes: closed.outbox_peak_bytes,
            requested_by: closed.detail.as_ref().and_then(|detail| detail.requested_by.as_deref()),
            detail: closed.detail.as_ref().map(|detail| &*detail.text).filter(|text| !text.is_empty()),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}
