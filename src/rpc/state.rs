//! The state that all methods share.

use super::node_calls::NodeCalls;
use crate::client::{CloseReason, ConnId, GatewayClient};
use crate::config::{Config, LiveConfig};
use crate::heartbeat::Heartbeat;
use crate::registry::{ClientRegistry, ClientTable, CloseHistory, Presence};
use crate::rpc::protocol::batch::WaitingBatches;
use crate::rpc::protocol::response::to_json;
use crate::rpc::pubsub::health::HealthEvents;
use crate::rpc::pubsub::topics::{PRESENCE, Topics};
use crate::rpc::query::identities::Identities;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// The clients, their subscriptions and their calls, as methods see them.
pub struct RpcState {
    pub registry: Arc<ClientRegistry>,
    pub presence: Arc<Presence>,
    pub closed: CloseHistory,
    pub topics: Arc<Topics>,
    pub identities: Identities,
    pub calls: Arc<NodeCalls>,
    /// The capabilities that nodes have announced, as JSON.
    pub capabilities: ClientTable<Option<Arc<str>>>,
    pub health_events: Arc<HealthEvents>,
    /// The clients that have a batch waiting for nodes.
    pub waiting_batches: Arc<WaitingBatches>,
    /// The most bytes of a response, or of the response to a batch.
    pub max_response_bytes: AtomicUsize,
}

/// Half of an outbox: a client's requests are read only while its outbox has that much room.
pub fn max_response_bytes(config: &Config) -> usize {
    config.limits.outbox_max_bytes / 2
}

/// An event on the topic `presence`.
#[derive(Serialize)]
struct PresenceEvent<'a> {
    event: &'static str,
    presence_key: &'a str,
    role: &'a str,
    name: &'a str,
    /// Why the last client left.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<CloseReason>,
}

impl RpcState {
    pub fn new(
        config: &Arc<LiveConfig>,
        registry: Arc<ClientRegistry>,
        presence: Arc<Presence>,
        heartbeat: Arc<Heartbeat>,
    ) -> Arc<Self> {
        let topics = Arc::new(Topics::new(config.clone()));
        Arc::new(RpcState {
            health_events: HealthEvents::new(registry.clone(), topics.clone(), heartbeat.clone()),
            calls: NodeCalls::new(config.clone(), heartbeat),
            registry,
            presence,
            closed: CloseHistory::new(config.clone()),
            topics,
            identities: Identities::new(&config.load().auth),
            capabilities: ClientTable::default(),
            waiting_batches: Arc::default(),
            max_response_bytes: max_response_bytes(&config.load()).into(),
        })
    }

    /// Publishes the event `joined` or `left` of a client's presence key. Called with the key's shard locked.
    pub fn publish_presence(&self, client: &GatewayClient, event: &'static str, reason: Option<CloseReason>) {
        if !self.topics.has_subscribers(PRESENCE) {
            return;
        }
        let auth = &client.auth;
        let (presence_key, role, name) = (&*auth.presence_key, auth.role.as_str(), &*auth.name);
        let event = PresenceEvent { event, presence_key, role, name, reason };
        self.topics.publish_reserved(PRESENCE, &to_json(&event));
    }

    /// Removes all state of a client that has disconnected.
    pub fn remove_client(&self, conn_id: ConnId) {
        self.topics.remove_client(conn_id);
        self.capabilities.take(conn_id);
        self.calls.remove_client(conn_id);
    }
}
