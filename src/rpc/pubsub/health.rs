//! Events on the topic `health`: the counts of clients, at most once a second, when a client has connected or
//! disconnected.

use super::topics::{HEALTH, Topics};
use crate::clock::Timestamp;
use crate::heartbeat::{Heartbeat, TimerGuard};
use crate::registry::ClientRegistry;
use crate::rpc::protocol::response::to_json;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The least time between two events.
const INTERVAL: Duration = Duration::from_secs(1);

/// Publishes the counts of a registry.
pub struct HealthEvents {
    registry: Arc<ClientRegistry>,
    topics: Arc<Topics>,
    heartbeat: Arc<Heartbeat>,
    state: Mutex<PublishState>,
}

#[derive(Default)]
struct PublishState {
    published_at: Option<Timestamp>,
    /// Publishes the next event at the end of the interval; set while that is pending.
    timer: Option<TimerGuard>,
}

impl HealthEvents {
    pub fn new(registry: Arc<ClientRegistry>, topics: Arc<Topics>, heartbeat: Arc<Heartbeat>) -> Arc<Self> {
        Arc::new(HealthEvents { registry, topics, heartbeat, state: Mutex::default() })
    }

    /// Called when a client has connected or disconnected. Publishes now, or at the end of the interval.
    pub fn on_change(self: &Arc<Self>) {
        if !self.topics.has_subscribers(HEALTH) {
            return;
        }
        let mut state = self.state.lock();
        if state.timer.is_some() {
            return;
        }
        let elapsed = state.published_at.map_or(INTERVAL, Timestamp::elapsed);
        if elapsed >= INTERVAL {
            return self.publish(&mut state);
        }
        let events = Arc::downgrade(self);
        let on_timer = move || {
            if let Some(events) = events.upgrade() {
                events.on_timer();
            }
        };
        state.timer = Some(self.heartbeat.schedule(INTERVAL - elapsed, on_timer));
    }

    fn on_timer(&self) {
        let mut state = self.state.lock();
        state.timer = None;
        self.publish(&mut state);
    }

    /// Publishes under the lock, so that the counts are published in order.
    fn publish(&self, state: &mut PublishState) {
        state.published_at = Some(Timestamp::now());
        self.topics.publish_reserved(HEALTH, &to_json(&self.registry.health_snapshot()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AuthInfo;
    use crate::client::{GatewayClient, SessionStats};
    use crate::config::LiveConfig;
    use std::collections::BTreeSet;

    #[test]
    fn health_event_is_published_at_most_once_a_second_and_never_lost() {
        let config = LiveConfig::with(|_| {});
        let heartbeat = Arc::new(Heartbeat::new(config.clone(), Arc::<SessionStats>::default()));
        let (registry, topics) = (Arc::new(ClientRegistry::new()), Arc::new(Topics::new(config)));
        let events = HealthEvents::new(registry, topics.clone(), heartbeat);
        // Without a subscriber nothing is published, and no timer is set.
        events.on_change();
        assert!(events.state.lock().published_at.is_none());
        let subscriber = GatewayClient::unconnected(AuthInfo::anonymous());
        topics.subscribe(&subscriber, &BTreeSet::from([HEALTH.into()])).unwrap();
        let received = || subscriber.outbox.snapshot().outbox_messages;
        events.on_change();
        assert_eq!(received(), 1);
        // As if it had been published this very moment, however slow the machine is.
        events.state.lock().published_at = Some(Timestamp::now());
        events.on_change();
        events.on_change();
        if events.state.lock().timer.is_some() {
            assert_eq!(received(), 1);
            events.on_timer();
        }
        assert_eq!(received(), 2);
        assert!(events.state.lock().timer.is_none());
    }
}
