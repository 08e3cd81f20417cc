//! What the methods work on: who is there, who was, who is subscribed, who waits for whom.

use super::node_calls::NodeCalls;
use crate::client::{CloseRecord, ConnId, GatewayClient};
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::registry::{ClientRegistry, ClientTable, CloseHistory, Presence};
use crate::rpc::protocol::batch::BatchBytes;
use crate::rpc::protocol::message::to_json;
use crate::rpc::pubsub::health::HealthEvents;
use crate::rpc::pubsub::topics::{PRESENCE, Topics};
use serde::Serialize;
use std::sync::Arc;

/// The state that all calls share.
pub(crate) struct RpcState {
    pub(crate) registry: Arc<ClientRegistry>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) closed: CloseHistory,
    pub(crate) topics: Arc<Topics>,
    pub(crate) calls: Arc<NodeCalls>,
    /// What nodes have capabilities, as JSON.
    pub(crate) capabilities: ClientTable<Option<Arc<str>>>,
    pub(crate) health_events: Arc<HealthEvents>,
    /// Answers to batches that wait for others.
    pub(crate) kept: Arc<BatchBytes>,
}

/// An event on the topic `presence`.
#[derive(Serialize)]
struct PresenceEvent<'a> {
    event: &'static str,
    presence_key: &'a str,
    role: &'a str,
    name: &'a str,
}

impl RpcState {
    pub(crate) fn new(
        config: &Config,
        registry: Arc<ClientRegistry>,
        presence: Arc<Presence>,
        heartbeat: Arc<Heartbeat>,
    ) -> Arc<Self> {
        let topics = Arc::new(Topics::new(config.limits.max_subscriptions));
        Arc::new(RpcState {
            health_events: HealthEvents::new(registry.clone(), topics.clone(), heartbeat.clone()),
            calls: NodeCalls::new(config.calls.clone(), heartbeat),
            registry,
            presence,
            closed: CloseHistory::new(config.limits.closed_connections),
            topics,
            capabilities: ClientTable::default(),
            kept: Arc::default(),
        })
    }

    /// What is told of a client's presence key; under the key's lock.
    pub(crate) fn presence_changed(&self, client: &GatewayClient, event: &'static str) {
        if !self.topics.has_subscribers(PRESENCE) {
            return;
        }
        let auth = &client.auth;
        let event =
            PresenceEvent { event, presence_key: &auth.presence_key, role: auth.role.as_str(), name: &auth.name };
        self.topics.publish_reserved(PRESENCE, &to_json(&event));
    }

    /// A client has gone.
    pub(crate) fn remove_client(&self, conn_id: ConnId, closed: CloseRecord) {
        // First: whoever is told of its end by one of the others finds it.
        self.closed.push(closed);
        self.topics.remove_client(conn_id);
        self.capabilities.take(conn_id);
        self.calls.remove_client(conn_id);
    }
}
