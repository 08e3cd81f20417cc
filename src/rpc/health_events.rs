//! Events on the topic `health`: the counts when they have changed, once a second at the most.

use super::envelope::to_json;
use super::topics::{HEALTH, Topics};
use crate::client::{ClientRegistry, HealthSnapshot};
use crate::clock::Moment;
use crate::heartbeat::{Heartbeat, Watch};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Between two events.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was told last, and whether more is to be told soon.
pub(super) struct HealthEvents {
    registry: Arc<ClientRegistry>,
    topics: Arc<Topics>,
    heartbeat: Arc<Heartbeat>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    told: HealthSnapshot,
    told_at: Option<Moment>,
    /// Tells what has changed since, when the time has come.
    alarm: Option<Watch>,
}

impl HealthEvents {
    pub(super) fn new(registry: Arc<ClientRegistry>, topics: Arc<Topics>, heartbeat: Arc<Heartbeat>) -> Arc<Self> {
        Arc::new(HealthEvents { registry, topics, heartbeat, state: Mutex::default() })
    }

    /// Somebody is about to subscribe: the first one knows what there is now.
    pub(super) fn begin(&self) {
        if !self.topics.is_used(HEALTH) {
            self.state.lock().told = self.registry.health_snapshot();
        }
    }

    /// The counts may have changed.
    pub(super) fn changed(self: &Arc<Self>) {
        if !self.topics.is_used(HEALTH) {
            return;
        }
        let mut state = self.state.lock();
        let since = state.told_at.map_or(INTERVAL, Moment::elapsed);
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
        state.alarm = Some(self.heartbeat.alarm(INTERVAL - since, ring));
    }

    fn second_is_over(&self) {
        let mut state = self.state.lock();
        state.alarm = None;
        self.tell(&mut state);
    }

    /// Under the lock, so that what is told later is later.
    fn tell(&self, state: &mut State) {
        let now = self.registry.health_snapshot();
        if now != state.told {
            (state.told, state.told_at) = (now, Some(Moment::now()));
            self.topics.publish_own(HEALTH, &to_json(&now));
        }
    }
}
