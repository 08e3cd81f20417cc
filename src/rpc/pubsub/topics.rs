//! Identity is subscribed to what, and events to them: numbered, in order, encoded once.
//!
//! A topic's lock is held while an event is queued for its subscribers, and so are, one by one, those of their ways out:
//! publishers of one topic take turns, so its numbers reach every subscriber in order. Nothing is written meanwhile, but to
//! whoever's outbox has no room otherwise.

use crate::client::{ConnId, GatewayClient};
use crate::metrics::Counter;
use crate::registry::{ClientTable, IdMap, PendingFlush, ShardedMap, enqueue_all};
use crate::rpc::protocol::error::{ErrorKind, RpcError};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Identity comes and who goes.
pub(crate) const PRESENCE: &str = "presence";
/// How many there are.
pub(crate) const HEALTH: &str = "health";

/// What a topic's name may be.
pub(crate) const TOPIC_SYNTAX: &str = "1 to 128 letters, digits and . _ @ - : /";

/// Whether a text is a topic's name: it stands in JSON and in paths as it is.
pub(crate) fn is_topic(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._@-:/".contains(&c))
}

/// Whether only the gateway publishes on it.
pub(crate) fn is_reserved(topic: &str) -> bool {
    topic == PRESENCE || topic == HEALTH
}

/// All topics, and what each client is subscribed to.
pub(crate) struct Topics {
    presence: Arc<Topic>,
    health: Arc<Topic>,
    /// Each is there as long as somebody is subscribed.
    custom: ShardedMap<Arc<Topic>>,
    /// Changed by the client's own session only.
    subscribed: ClientTable<BTreeSet<Arc<str>>>,
    max_subscriptions: usize,
    /// Events published, and how often they were queued for a subscriber.
    pub(crate) published: Counter,
    pub(crate) queued: Counter,
}

/// One topic.
pub(crate) struct Topic {
    name: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the last event.
    seq: u64,
    subscribers: IdMap<Arc<GatewayClient>>,
}

impl Topics {
    pub(crate) fn new(max_subscriptions: usize) -> Self {
        Topics {
            presence: Topic::new(PRESENCE.into()),
            health: Topic::new(HEALTH.into()),
            custom: ShardedMap::default(),
            subscribed: ClientTable::default(),
            max_subscriptions,
            published: Counter::default(),
            queued: Counter::default(),
        }
    }

    /// Subscribes a client to these topics, or, if they are too many with those it has, to none of them.
    pub(crate) fn subscribe(&self, client: &Arc<GatewayClient>, topics: &BTreeSet<Arc<str>>) -> Result<(), RpcError> {
        let has = self.subscriptions(client.conn_id);
        let all: BTreeSet<_> = has.union(topics).cloned().collect();
        if all.len() > self.max_subscriptions {
            let error = RpcError::new(ErrorKind::TooManySubscriptions, "more topics than one client may subscribe to");
            return Err(error.with("most", self.max_subscriptions));
        }
        for name in topics.difference(&has) {
            match self.reserved(name) {
                Some(topic) => topic.subscribe(client),
                // Under the table's lock, so that a topic that is found isn't one that is just being forgotten.
                None => self
                    .custom
                    .lock(name)
                    .entry(name.clone())
                    .or_insert_with_key(|name| Topic::new(name.clone()))
                    .subscribe(client),
            }
        }
        self.subscribed.update(client.conn_id, |subscribed| *subscribed = all);
        Ok(())
    }

    /// Ends a client's subscriptions to these topics.
    pub(crate) fn unsubscribe(&self, conn_id: ConnId, topics: &BTreeSet<Arc<str>>) {
        let ended: Vec<_> = self.subscriptions(conn_id).intersection(topics).cloned().collect();
        self.subscribed.update(conn_id, |subscribed| subscribed.retain(|name| !topics.contains(name)));
        ended.iter().for_each(|name| self.leave(conn_id, name));
    }

    /// Ends all subscriptions of a client that has gone.
    pub(crate) fn remove_client(&self, conn_id: ConnId) {
        self.subscribed.take(conn_id).iter().for_each(|name| self.leave(conn_id, name));
    }

    /// What a client is subscribed to.
    pub(crate) fn subscriptions(&self, conn_id: ConnId) -> BTreeSet<Arc<str>> {
        self.subscribed.read(conn_id, Clone::clone)
    }

    /// Whether a client is subscribed to a topic.
    pub(crate) fn is_subscribed(&self, conn_id: ConnId, name: &str) -> bool {
        self.subscribed.read(conn_id, |subscribed| subscribed.contains(name))
    }

    /// Publishes an event, which is JSON, and returns for how many it was queued.
    pub(crate) fn publish(&self, name: &str, data: &str) -> usize {
        let topic = self.custom.lock(name).get(name).cloned();
        self.published.add(1);
        let Some(topic) = topic else { return 0 };
        let (queued, pending) = topic.publish(data);
        self.queued.add(queued as u64);
        pending.flush();
        queued
    }

    /// Publishes an event of the gateway's own. Nothing is written before this returns: the caller may hold a lock that keeps
    /// the order.
    pub(crate) fn publish_reserved(&self, name: &str, data: &str) {
        let Some(topic) = self.reserved(name).filter(|topic| topic.has_subscribers()) else { return };
        let (queued, pending) = topic.publish(data);
        self.published.add(1);
        self.queued.add(queued as u64);
        pending.flush_in_tasks();
    }

    /// Whether anybody is subscribed to one of the gateway's own topics.
    pub(crate) fn has_subscribers(&self, name: &str) -> bool {
        self.reserved(name).is_some_and(|topic| topic.has_subscribers())
    }

    /// How many are subscribed to one of the gateway's own topics.
    pub(crate) fn subscribers(&self, name: &str) -> usize {
        self.reserved(name).map_or(0, |topic| topic.state.lock().subscribers.len())
    }

    fn reserved(&self, name: &str) -> Option<&Arc<Topic>> {
        match name {
            PRESENCE => Some(&self.presence),
            HEALTH => Some(&self.health),
            _ => None,
        }
    }

    fn leave(&self, conn_id: ConnId, name: &Arc<str>) {
        if let Some(topic) = self.reserved(name) {
            return topic.unsubscribe(conn_id);
        }
        if let Entry::Occupied(topic) = self.custom.lock(name).entry(name.clone()) {
            topic.get().unsubscribe(conn_id);
            if !topic.get().has_subscribers() {
                topic.remove();
            }
        }
    }
}

impl Topic {
    fn new(name: Arc<str>) -> Arc<Self> {
        Arc::new(Topic { name, state: Mutex::default() })
    }

    fn subscribe(&self, client: &Arc<GatewayClient>) {
        self.state.lock().subscribers.insert(client.conn_id, client.clone());
    }

    fn unsubscribe(&self, conn_id: ConnId) {
        let mut state = self.state.lock();
        state.subscribers.remove(&conn_id);
        if state.subscribers.is_empty() {
            // A topic that nobody is subscribed to begins anew.
            *state = State::default();
        }
    }

    fn has_subscribers(&self) -> bool {
        !self.state.lock().subscribers.is_empty()
    }

    fn publish(&self, data: &str) -> (usize, PendingFlush) {
        let mut state = self.state.lock();
        if state.subscribers.is_empty() {
            // The last has just left: the next one's first event is number 1.
            return Default::default();
        }
        state.seq += 1;
        let event = event(&self.name, state.seq, data);
        enqueue_all(state.subscribers.values(), &event)
    }
}

fn event(topic: &str, seq: u64, data: &str) -> Utf8Bytes {
    let start = r#"{"jsonrpc":"2.0","method":"gateway.event","params":{"topic":""#;
    let seq = seq.to_string();
    [start, topic, r#"","seq":"#, &seq, r#","data":"#, data, "}}"].concat().into()
}
