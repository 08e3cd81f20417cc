//! What the methods work on: who is there, who was, who is subscribed, who waits for whom.

use super::batch::KeptBytes;
use super::calls::Calls;
use super::envelope::to_json;
use super::health_events::HealthEvents;
use super::topics::{PRESENCE, Topics};
use crate::client::{ByClient, ClientRegistry, Closed, ClosedLog, ConnId, GatewayClient, Presence};
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use serde::Serialize;
use std::sync::Arc;

/// The state that all calls share.
pub(super) struct Hub {
    pub(super) registry: Arc<ClientRegistry>,
    pub(super) presence: Arc<Presence>,
    pub(super) closed: ClosedLog,
    pub(super) topics: Arc<Topics>,
    pub(super) calls: Arc<Calls>,
    /// What nodes have announced, as JSON.
    pub(super) announced: ByClient<Option<Arc<str>>>,
    pub(super) health_events: Arc<HealthEvents>,
    /// Answers to batches that wait for others.
    pub(super) kept: Arc<KeptBytes>,
}

/// An event on the topic `presence`.
#[derive(Serialize)]
struct PresenceEvent<'a> {
    event: &'static str,
    presence_key: &'a str,
    role: &'a str,
    name: &'a str,
}

impl Hub {
    pub(super) fn new(
        config: &Config,
        registry: Arc<ClientRegistry>,
        presence: Arc<Presence>,
        heartbeat: Arc<Heartbeat>,
    ) -> Arc<Self> {
        let topics = Arc::new(Topics::new(config.limits.max_subscriptions));
        Arc::new(Hub {
            health_events: HealthEvents::new(registry.clone(), topics.clone(), heartbeat.clone()),
            calls: Calls::new(config.calls.clone(), heartbeat),
            registry,
            presence,
            closed: ClosedLog::new(config.limits.closed_connections),
            topics,
            announced: ByClient::default(),
            kept: Arc::default(),
        })
    }

    /// What is told of a client's presence key; under the key's lock.
    pub(super) fn presence_changed(&self, client: &GatewayClient, event: &'static str) {
        if !self.topics.is_used(PRESENCE) {
            return;
        }
        let auth = &client.auth;
        let event =
            PresenceEvent { event, presence_key: &auth.presence_key, role: auth.role.as_str(), name: &auth.name };
        self.topics.publish_own(PRESENCE, &to_json(&event));
    }

    /// A client has gone.
    pub(super) fn forget(&self, conn_id: ConnId, closed: Closed) {
        // First: whoever is told of its end by one of the others finds it.
        self.closed.push(closed);
        self.topics.forget(conn_id);
        self.announced.take(conn_id);
        self.calls.forget(conn_id);
    }
}
