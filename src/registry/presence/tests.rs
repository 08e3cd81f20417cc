use super::*;
use crate::client::{CloseRecord, Message};
use crate::config::PresencePolicies;
use crate::labels::Label;
use crate::runtime::BoxFuture;
use parking_lot::Mutex;
use proptest::prelude::*;

/// A call of `on_joined` or `on_left` with a presence key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Joined(Arc<str>),
    Left(Arc<str>),
}

/// Records all events in order.
#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Handler for Recorder {
    fn on_message(&self, _: &Arc<GatewayClient>, _: Message) -> Option<BoxFuture<'static, ()>> {
        None
    }

    fn on_disconnect(&self, _: &Arc<GatewayClient>, _: &CloseRecord) {}

    fn on_joined(&self, client: &Arc<GatewayClient>) {
        self.0.lock().push(Event::Joined(client.auth.presence_key.clone()));
    }

    fn on_left(&self, client: &Arc<GatewayClient>) {
        self.0.lock().push(Event::Left(client.auth.presence_key.clone()));
    }
}

fn presence() -> Arc<Presence> {
    let policy = |word| PresencePolicy::parse(word).unwrap();
    let named = [("operator", "allow"), ("node", "replace"), ("sensor", "reject")];
    let policies = PresencePolicies(named.map(|(role, word)| (Role::from(role), policy(word))).into());
    Arc::new(Presence::new(LiveConfig::with(|config| config.presence = policies)))
}

/// Eight identities: two names for each of four roles, one of which has no configured policy.
fn auth(index: usize) -> Arc<AuthInfo> {
    let role = ["operator", "node", "sensor", "other"][index / 2 % 4];
    Arc::new(AuthInfo::new(["a", "b"][index % 2], Role::from(role), []))
}

fn client(auth: &Arc<AuthInfo>) -> Arc<GatewayClient> {
    GatewayClient::unconnected(auth.clone())
}

#[derive(Clone, Debug)]
enum Step {
    /// A handshake begins for a key.
    Reserve(usize),
    /// A handshake ends; if true, its connection becomes a client.
    FinishHandshake(usize, bool),
    /// A client begins to close.
    Close(usize),
    /// A client that was closing or replaced disconnects.
    Disconnect(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..8usize).prop_map(Step::Reserve),
        3 => (any::<usize>(), prop::bool::weighted(0.9)).prop_map(|(which, succeeds)| Step::FinishHandshake(which, succeeds)),
        2 => any::<usize>().prop_map(Step::Close),
        1 => any::<usize>().prop_map(Step::Disconnect),
    ];
    prop::collection::vec(step, 0..200)
}

/// The expected state, in plain lists.
#[derive(Default)]
struct Model {
    handshakes: Vec<(Arc<AuthInfo>, Reservation)>,
    /// In the order in which they joined.
    present: Vec<Arc<GatewayClient>>,
    closing: Vec<Arc<GatewayClient>>,
    events: Vec<Event>,
}

impl Model {
    fn has(&self, auth: &AuthInfo) -> bool {
        self.present.iter().any(|client| client.auth.presence_key == auth.presence_key)
    }

    fn join(&mut self, client: &Arc<GatewayClient>) {
        if !self.has(&client.auth) {
            self.events.push(Event::Joined(client.auth.presence_key.clone()));
        }
        if client.auth.role == Role::Node {
            let is_replaced = |other: &mut Arc<GatewayClient>| other.auth.presence_key == client.auth.presence_key;
            for replaced in self.present.extract_if(.., is_replaced) {
                assert_eq!(replaced.close_reason(), Some(CloseReason::Replaced));
                self.closing.push(replaced);
            }
        }
        self.present.push(client.clone());
    }

    fn close(&mut self, which: usize) -> Arc<GatewayClient> {
        let client = self.present.remove(which % self.present.len());
        if !self.has(&client.auth) {
            self.events.push(Event::Left(client.auth.presence_key.clone()));
        }
        self.closing.push(client.clone());
        client
    }

    fn check(&self, presence: &Presence) {
        assert!(self.present.iter().all(|client| client.close_reason().is_none()));
        for auth in (0..8).map(auth) {
            let same = || self.present.iter().filter(|client| client.auth.presence_key == auth.presence_key);
            let latest = same().next_back();
            let found = presence.latest_of(&auth.presence_key);
            assert_eq!(found.map(|client| client.conn_id), latest.map(|client| client.conn_id));
            assert_eq!(presence.clients_of(&auth.presence_key).len(), same().count());
            let mut listed = (0..).map_while(|shard| presence.list_shard(shard, &auth.role)).flatten();
            let listed = listed.find(|key| key.clients[0].auth.presence_key == auth.presence_key);
            assert_eq!(listed.map_or(0, |key| key.clients.len()), same().count());
        }
    }
}

proptest! {
    #[test]
    fn presence_behaves_like_plain_lists(steps in steps()) {
        let (presence, recorder, mut model) = (presence(), Recorder::default(), Model::default());
        for step in steps {
            match step {
                Step::Reserve(index) => {
                    let auth = auth(index);
                    let is_exclusive = auth.role.as_str() == "sensor";
                    let is_reserved = model.handshakes.iter().any(|(other, _)| other.presence_key == auth.presence_key);
                    let reservation = presence.reserve(&auth);
                    let is_taken = is_exclusive && (is_reserved || model.has(&auth));
                    prop_assert_eq!(matches!(reservation, Err(Unavailable::Taken)), is_taken);
                    model.handshakes.extend(reservation.ok().map(|reservation| (auth, reservation)));
                }
                Step::FinishHandshake(which, succeeds) if !model.handshakes.is_empty() => {
                    let (auth, _reservation) = model.handshakes.remove(which % model.handshakes.len());
                    if succeeds {
                        let client = client(&auth);
                        presence.join(&client, &recorder);
                        model.join(&client);
                    }
                }
                Step::Close(which) if !model.present.is_empty() => {
                    let client = model.close(which);
                    presence.leave(&client, &recorder);
                }
                Step::Disconnect(which) if !model.closing.is_empty() => {
                    let client = model.closing.remove(which % model.closing.len());
                    presence.leave(&client, &recorder);
                }
                _ => {}
            }
            model.check(&presence);
            prop_assert_eq!(&*recorder.0.lock(), &model.events);
        }
        while !model.present.is_empty() {
            presence.leave(&model.close(0), &recorder);
        }
        model.handshakes.clear();
        prop_assert_eq!(&*recorder.0.lock(), &model.events);
        prop_assert!(presence.keys.lock_each().all(|keys| keys.is_empty()));
    }
}

#[test]
fn joined_and_left_are_called_once_while_many_clients_share_a_key() {
    let (presence, recorder) = (presence(), Recorder::default());
    let first = client(&auth(0));
    presence.join(&first, &recorder);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let client = client(&auth(0));
                    presence.join(&client, &recorder);
                    presence.leave(&client, &recorder);
                }
            });
        }
    });
    presence.leave(&first, &recorder);
    let key = first.auth.presence_key.clone();
    assert_eq!(*recorder.0.lock(), [Event::Joined(key.clone()), Event::Left(key)]);
}

#[test]
fn replacements_of_each_minute_are_counted() {
    let mut replacements = Replacements::default();
    for count in 1..=3 {
        replacements.current(7).count += 1;
        assert_eq!(replacements.current(7).count, count);
    }
    assert_eq!(replacements.current(8).count, 0);
}
