//! Events on the topic `health`: the counts when they have changed, once a second at the most.

use super::topics::{HEALTH, Topics};
use crate::clock::Timestamp;
use crate::heartbeat::{Heartbeat, TimerGuard};
use crate::registry::{ClientRegistry, HealthSnapshot};
use crate::rpc::protocol::message::to_json;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Between two events.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was told last, and whether more is to be told soon.
pub(crate) struct HealthEvents {
    registry: Arc<ClientRegistry>,
    topics: Arc<Topics>,
    heartbeat: Arc<Heartbeat>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` where not everybody who is subscribed knows the same.
    told: Option<HealthSnapshot>,
    told_at: Option<Timestamp>,
    /// Tells what has changed since, when the time has come.
    alarm: Option<TimerGuard>,
}

impl HealthEvents {
    pub(crate) fn new(registry: Arc<ClientRegistry>, topics: Arc<Topics>, heartbeat: Arc<Heartbeat>) -> Arc<Self> {
        Arc::new(HealthEvents { registry, topics, heartbeat, state: Mutex::default() })
    }

    /// Somebody has subscribed, who knows what there is now; the others may not: of what has changed they are told soon.
    pub(crate) fn subscribed(&self) {
        let mut state = self.state.lock();
        let now = Some(self.registry.health_snapshot());
        let all_know = state.alarm.is_none() && (state.told == now || self.topics.subscribers(HEALTH) == 1);
        state.told = if all_know { now } else { None };
    }

    /// A subscriber has asked, and knows these: what the others may not be told of, if it passes before they are.
    pub(crate) fn asked(&self, counts: HealthSnapshot) {
        let mut state = self.state.lock();
        if state.told != Some(counts) {
            state.told = None;
        }
    }

    /// The counts may have changed.
    pub(crate) fn changed(self: &Arc<Self>) {
        if !self.topics.has_subscribers(HEALTH) {
            return;
        }
        let mut state = self.state.lock();
        let since = state.told_at.map_or(INTERVAL, Timestamp::elapsed);
        if state.alarm.is_some() {
            return;
        }
        if since >= INTERVAL {
            return self.tell(&mut state);
        }
        let weak = Arc::downgrade(self);
        let ring = move || {
            if let Some(events) = weak.upgrade() {
                events.second_is_over();
            }
        };
        state.alarm = Some(self.heartbeat.schedule(INTERVAL - since, ring));
    }

    fn second_is_over(&self) {
        let mut state = self.state.lock();
        state.alarm = None;
        self.tell(&mut state);
    }

    /// Under the lock, so that what is told later is later.
    fn tell(&self, state: &mut State) {
        let now = Some(self.registry.health_snapshot());
        if now != state.told {
            (state.told, state.told_at) = (now, Some(Timestamp::now()));
            self.topics.publish_reserved(HEALTH, &to_json(&now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AuthInfo;
    use crate::client::{GatewayClient, SessionStats};
    use crate::config::Config;
    use std::collections::BTreeSet;

    fn client() -> Arc<GatewayClient> {
        GatewayClient::unconnected(AuthInfo::anonymous())
    }

    #[test]
    fn who_subscribes_within_the_second_is_told_of_the_way_back_too() {
        let heartbeat = Arc::new(Heartbeat::new(&Config::new(1024).heartbeat, Arc::<SessionStats>::default()));
        let (registry, topics) = (Arc::new(ClientRegistry::new()), Arc::new(Topics::new(10)));
        let events = HealthEvents::new(registry.clone(), topics.clone(), heartbeat);
        let subscribe = || {
            let client = client();
            topics.subscribe(&client, &BTreeSet::from([HEALTH.into()])).unwrap();
            events.subscribed();
            client
        };
        let told = |client: &GatewayClient| client.outbox.snapshot().outbox_messages;
        let early = subscribe();
        let _stays = registry.on_connect(client());
        events.changed();
        assert_eq!(told(&early), 1);
        // There and away again, within a second: nothing has changed for the first.
        drop(registry.on_connect(client()));
        events.changed();
        events.second_is_over();
        assert_eq!(told(&early), 1);
        // But for one who saw it there.
        events.state.lock().told_at = Some(Timestamp::now());
        let passes = registry.on_connect(client());
        events.changed();
        let late = subscribe();
        drop(passes);
        events.second_is_over();
        assert_eq!((told(&early), told(&late)), (2, 1));
        // Nor from one who has asked in the meantime.
        events.state.lock().told_at = Some(Timestamp::now());
        let passes = registry.on_connect(client());
        events.changed();
        events.asked(registry.health_snapshot());
        drop(passes);
        events.second_is_over();
        assert_eq!((told(&early), told(&late)), (3, 2));
        // Identity comes when one more is there already, but isn't told of yet, takes that from nobody.
        events.state.lock().told_at = None;
        let _stays = registry.on_connect(client());
        let later = subscribe();
        events.changed();
        assert_eq!((told(&early), told(&late), told(&later)), (4, 3, 1));
    }
}
