//! Topics: the subscriptions of all clients, and the events published to them. The events of a topic are numbered, and
//! each is encoded once.
//!
//! An event is enqueued for all subscribers under the topic's lock, so that they receive the numbers in order. It is
//! written after the lock is released; if a subscriber's outbox is full, its queue is first written under the lock, to
//! make room. See [the lock order](crate::registry#lock-order).

use crate::budget;
use crate::client::{ConnId, GatewayClient};
use crate::config::LiveConfig;
use crate::metrics::Counter;
use crate::registry::{ClientTable, IdMap, PendingFlush, ShardedMap, enqueue_all};
use crate::rpc::protocol::error::{ErrorKind, RpcError};
use crate::ws::Message;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// The topic of events about presence keys: the first client of a key has joined, or its last one has left.
pub const PRESENCE: &str = "presence";
/// The topic of events with the counts of clients.
pub const HEALTH: &str = "health";

/// The syntax of a topic's name, for error messages.
pub const TOPIC_SYNTAX: &str = "1 to 128 letters, digits and . _ @ - : /";

/// Returns whether a text is a valid topic name. Valid names need no escaping in JSON and in paths.
pub fn is_topic(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._@-:/".contains(&c))
}

/// Returns whether a topic is reserved: only the gateway publishes on it.
pub fn is_reserved(topic: &str) -> bool {
    topic == PRESENCE || topic == HEALTH
}

/// All topics, and the subscriptions of each client.
pub struct Topics {
    presence: Arc<Topic>,
    health: Arc<Topic>,
    /// The other topics. A topic exists while it has a subscriber.
    custom: ShardedMap<Arc<Topic>>,
    /// The topics of each client. Added to only by the client's own session.
    subscribed: ClientTable<BTreeSet<Arc<str>>>,
    config: Arc<LiveConfig>,
    /// Published events.
    pub published: Counter,
    /// Events enqueued, counted once for each subscriber.
    pub queued: Counter,
}

/// One topic.
struct Topic {
    name: Arc<str>,
    state: Mutex<TopicState>,
}

#[derive(Default)]
struct TopicState {
    /// The number of the last event; the first event is number 1.
    seq: u64,
    subscribers: IdMap<Arc<GatewayClient>>,
}

impl Topics {
    /// No topics yet.
    pub fn new(config: Arc<LiveConfig>) -> Self {
        Topics {
            presence: Topic::new(PRESENCE.into()),
            health: Topic::new(HEALTH.into()),
            custom: ShardedMap::default(),
            subscribed: ClientTable::default(),
            config,
            published: Counter::default(),
            queued: Counter::default(),
        }
    }

    /// The most topics that one client may be subscribed to, and that one request may name.
    pub fn max_subscriptions(&self) -> usize {
        self.config.load().limits.max_subscriptions
    }

    /// Subscribes a client to all of these topics.
    ///
    /// # Errors
    /// [`ErrorKind::TooManySubscriptions`] if the client would have more than `limits.max_subscriptions`; it is then
    /// subscribed to none of them.
    pub fn subscribe(&self, client: &Arc<GatewayClient>, topics: &BTreeSet<Arc<str>>) -> Result<(), RpcError> {
        let current = self.subscriptions(client.conn_id);
        if current.union(topics).count() > self.max_subscriptions() {
            return Err(self.too_many_subscriptions());
        }
        for name in topics.difference(&current) {
            match self.reserved(name) {
                Some(topic) => topic.subscribe(client),
                // Under the map's lock, so that the topic isn't removed in between.
                None => self
                    .custom
                    .lock(name)
                    .entry(name.clone())
                    .or_insert_with_key(|name| Topic::new(name.clone()))
                    .subscribe(client),
            }
        }
        // Not replaced: a reload may have removed others meanwhile.
        self.subscribed.update(client.conn_id, |subscribed| subscribed.extend(topics.iter().cloned()));
        Ok(())
    }

    /// The error for a client with more than `limits.max_subscriptions`, and for a request that names more topics.
    pub fn too_many_subscriptions(&self) -> RpcError {
        let message = "more topics than one client may be subscribed to";
        RpcError::new(ErrorKind::TooManySubscriptions, message).with("most", self.max_subscriptions())
    }

    /// Unsubscribes a client from these topics. Topics to which it isn't subscribed are ignored.
    pub fn unsubscribe(&self, conn_id: ConnId, topics: &BTreeSet<Arc<str>>) {
        let ended: Vec<_> = self.subscriptions(conn_id).intersection(topics).cloned().collect();
        self.subscribed.update(conn_id, |subscribed| subscribed.retain(|name| !topics.contains(name)));
        ended.iter().for_each(|name| self.remove_subscriber(conn_id, name));
    }

    /// Ends all subscriptions of a disconnected client.
    pub fn remove_client(&self, conn_id: ConnId) {
        self.subscribed.take(conn_id).iter().for_each(|name| self.remove_subscriber(conn_id, name));
    }

    /// The topics to which a client is subscribed. Charges them to the current task's budget.
    pub fn subscriptions(&self, conn_id: ConnId) -> BTreeSet<Arc<str>> {
        let topics = self.subscribed.read(conn_id, Clone::clone);
        budget::charge(topics.len());
        topics
    }

    /// Publishes an event on a topic that isn't reserved. `data` is JSON. Returns the number of subscribers it was
    /// enqueued for.
    pub fn publish(&self, name: &str, data: &str) -> usize {
        let topic = self.custom.lock(name).get(name).cloned();
        self.published.add(1);
        let Some(topic) = topic else { return 0 };
        let (queued, pending) = topic.publish(data);
        self.queued.add(queued as u64);
        pending.flush();
        queued
    }

    /// Publishes an event on a reserved topic. Other tasks write it, so the caller may hold a lock that keeps events in
    /// order.
    pub fn publish_reserved(&self, name: &str, data: &str) {
        let Some(topic) = self.reserved(name).filter(|topic| topic.has_subscribers()) else { return };
        let (queued, pending) = topic.publish(data);
        self.published.add(1);
        self.queued.add(queued as u64);
        pending.flush_in_tasks();
    }

    /// Returns whether a reserved topic has a subscriber.
    pub fn has_subscribers(&self, name: &str) -> bool {
        self.reserved(name).is_some_and(|topic| topic.has_subscribers())
    }

    fn reserved(&self, name: &str) -> Option<&Arc<Topic>> {
        match name {
            PRESENCE => Some(&self.presence),
            HEALTH => Some(&self.health),
            _ => None,
        }
    }

    /// Removes a client from a topic, and the topic if it was the last subscriber.
    fn remove_subscriber(&self, conn_id: ConnId, name: &Arc<str>) {
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
            // A topic without subscribers starts again at event 1, as if it had been removed. This frees the map, too.
            *state = TopicState::default();
        }
    }

    fn has_subscribers(&self) -> bool {
        !self.state.lock().subscribers.is_empty()
    }

    /// Numbers an event and enqueues it for all subscribers. Returns the result of [`enqueue_all`].
    fn publish(&self, data: &str) -> (usize, PendingFlush) {
        let mut state = self.state.lock();
        if state.subscribers.is_empty() {
            // The last subscriber has just left: the event gets no number.
            return Default::default();
        }
        state.seq += 1;
        let event = encode_event(&self.name, state.seq, data);
        enqueue_all(state.subscribers.values(), &event)
    }
}

fn encode_event(topic: &str, seq: u64, data: &str) -> Message {
    let start = r#"{"jsonrpc":"2.0","method":"gateway.event","params":{"topic":""#;
    let seq = seq.to_string();
    [start, topic, r#"","seq":"#, &seq, r#","data":"#, data, "}}"].concat().into()
}
