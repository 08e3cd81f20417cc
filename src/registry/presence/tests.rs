use super::*;
use crate::client::{BoxFuture, CloseRecord, Message};
use parking_lot::Mutex;
use proptest::prelude::*;

/// Notes who joined and who left, in order.
#[derive(Default)]
struct Recorder(Mutex<Vec<(Arc<str>, bool)>>);

impl Handler for Recorder {
    fn on_message(&self, _: &Arc<GatewayClient>, _: Message) -> Option<BoxFuture<'static, ()>> {
        None
    }

    fn on_disconnect(&self, _: &Arc<GatewayClient>, _: CloseRecord) {}
    fn on_joined(&self, client: &Arc<GatewayClient>) {
        self.0.lock().push((client.auth.presence_key.clone(), true));
    }
    fn on_left(&self, client: &Arc<GatewayClient>) {
        self.0.lock().push((client.auth.presence_key.clone(), false));
    }
}

fn presence() -> Arc<Presence> {
    let policy = |word| PresencePolicy::parse(word).unwrap();
    let named = [("operator", "allow"), ("node", "replace"), ("sensor", "reject")];
    Arc::new(Presence::new(config::PresencePolicies(named.map(|(role, word)| (Role::from(role), policy(word))).into())))
}

/// Two names for each of these roles, and one of a role that isn't configured.
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
    Knock(usize),
    /// One of those under way becomes a client, or comes to nothing.
    Settle(usize, bool),
    /// One of the clients is told to go.
    Go(usize),
    /// One that was told to go, or replaced, has gone at last.
    End(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..8usize).prop_map(Step::Knock),
        3 => (any::<usize>(), prop::bool::weighted(0.9)).prop_map(|(which, comes)| Step::Settle(which, comes)),
        2 => any::<usize>().prop_map(Step::Go),
        1 => any::<usize>().prop_map(Step::End),
    ];
    prop::collection::vec(step, 0..200)
}

/// What should be: plain lists.
#[derive(Default)]
struct Model {
    knocking: Vec<(Arc<AuthInfo>, Reservation)>,
    /// In the order in which they came.
    here: Vec<Arc<GatewayClient>>,
    going: Vec<Arc<GatewayClient>>,
    told: Vec<(Arc<str>, bool)>,
}

impl Model {
    fn has(&self, auth: &AuthInfo) -> bool {
        self.here.iter().any(|client| client.auth.presence_key == auth.presence_key)
    }

    fn come(&mut self, client: &Arc<GatewayClient>) {
        if !self.has(&client.auth) {
            self.told.push((client.auth.presence_key.clone(), true));
        }
        if client.auth.role == Role::Node {
            let is_replaced = |other: &mut Arc<GatewayClient>| other.auth.presence_key == client.auth.presence_key;
            for replaced in self.here.extract_if(.., is_replaced) {
                assert_eq!(replaced.close_reason(), Some(CloseReason::Replaced));
                self.going.push(replaced);
            }
        }
        self.here.push(client.clone());
    }

    fn go(&mut self, which: usize) -> Arc<GatewayClient> {
        let client = self.here.remove(which % self.here.len());
        if !self.has(&client.auth) {
            self.told.push((client.auth.presence_key.clone(), false));
        }
        self.going.push(client.clone());
        client
    }

    fn check(&self, presence: &Presence) {
        assert!(self.here.iter().all(|client| client.close_reason().is_none()));
        for auth in (0..8).map(auth) {
            let same = || self.here.iter().filter(|client| client.auth.presence_key == auth.presence_key);
            let newest = same().next_back();
            let found = presence.latest_of(&auth.presence_key);
            assert_eq!(found.map(|client| client.conn_id), newest.map(|client| client.conn_id));
            assert_eq!(presence.clients_of(&auth.presence_key).len(), same().count());
            let listed = presence.list(&auth.role);
            let listed = listed.iter().find(|key| key.clients[0].auth.presence_key == auth.presence_key);
            assert_eq!(listed.map_or(0, |key| key.clients.len()), same().count());
        }
    }
}

proptest! {
    #[test]
    fn presence_is_as_plain_lists_would_have_it(steps in steps()) {
        let (presence, recorder, mut model) = (presence(), Recorder::default(), Model::default());
        for step in steps {
            match step {
                Step::Knock(index) => {
                    let auth = auth(index);
                    let is_alone = auth.role.as_str() == "sensor";
                    let promised = model.knocking.iter().any(|(other, _)| other.presence_key == auth.presence_key);
                    let reservation = presence.reserve(&auth);
                    prop_assert_eq!(reservation.is_none(), is_alone && (promised || model.has(&auth)));
                    model.knocking.extend(reservation.map(|reservation| (auth, reservation)));
                }
                Step::Settle(which, comes) if !model.knocking.is_empty() => {
                    let (auth, _reservation) = model.knocking.remove(which % model.knocking.len());
                    if comes {
                        let client = client(&auth);
                        presence.join(&client, &recorder);
                        model.come(&client);
                    }
                }
                Step::Go(which) if !model.here.is_empty() => {
                    let client = model.go(which);
                    presence.leave(&client, &recorder);
                }
                Step::End(which) if !model.going.is_empty() => {
                    let client = model.going.remove(which % model.going.len());
                    presence.leave(&client, &recorder);
                }
                _ => {}
            }
            model.check(&presence);
            prop_assert_eq!(&*recorder.0.lock(), &model.told);
        }
        while !model.here.is_empty() {
            presence.leave(&model.go(0), &recorder);
        }
        model.knocking.clear();
        prop_assert_eq!(&*recorder.0.lock(), &model.told);
        prop_assert!(presence.keys.lock_each().all(|keys| keys.is_empty()));
    }
}

#[test]
fn many_of_one_key_come_and_go_at_once_and_it_is_told_twice() {
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
    assert_eq!(recorder.0.lock().iter().map(|(_, joined)| *joined).collect::<Vec<_>>(), [true, false]);
}
