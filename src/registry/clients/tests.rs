use super::*;
use crate::auth::AuthInfo;
use crate::client::ConnId;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

fn client(role: &Role) -> Arc<GatewayClient> {
    GatewayClient::unconnected(AuthInfo::new("test", role.clone(), []))
}

fn role(index: usize) -> Role {
    [Role::Operator, Role::Node, Role::Other("probe".into())][index % 3].clone()
}

#[test]
fn client_is_registered_until_its_registration_is_dropped() {
    let registry = ClientRegistry::new();
    let client = client(&Role::Node);
    let registration = registry.on_connect(client.clone());
    assert!(Arc::ptr_eq(&registry.get(client.conn_id).unwrap(), &client));
    assert_eq!(registry.list().len(), 1);
    assert_eq!(registry.health_snapshot(), HealthSnapshot { total_connections: 1, operators: 0, nodes: 1 });
    drop(registration);
    assert!(registry.get(client.conn_id).is_none() && registry.list().is_empty() && registry.is_empty());
    assert_eq!(registry.health_snapshot(), HealthSnapshot::default());
}

#[test]
fn unknown_client_is_not_removed() {
    let registry = ClientRegistry::new();
    let _registration = registry.on_connect(client(&Role::Operator));
    let unknown = client(&Role::Operator);
    assert!(!registry.shard_of(unknown.conn_id).on_disconnect(&unknown));
    assert_eq!(registry.len(), 1);
}

#[test]
fn second_client_of_the_same_id_is_not_removed_with_the_first() {
    let registry = ClientRegistry::new();
    let first = client(&Role::Operator);
    let mut second = Arc::into_inner(client(&Role::Node)).unwrap();
    second.conn_id = first.conn_id;
    let first = registry.on_connect(first);
    let second = registry.on_connect(Arc::new(second));
    assert_eq!(registry.health_snapshot(), HealthSnapshot { total_connections: 1, operators: 0, nodes: 1 });
    drop(first);
    assert_eq!(registry.len(), 1);
    drop(second);
    assert!(registry.is_empty());
}

#[test]
fn panic_removes_the_client() {
    let registry = ClientRegistry::new();
    let registration = registry.on_connect(client(&Role::Operator));
    let panicking = thread::spawn(move || {
        let _registration = registration;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicking.join().is_err());
    assert!(registry.is_empty());
}

#[test]
fn ids_spread_over_the_shards() {
    let registry = ClientRegistry::new();
    let _registrations: Vec<_> = (0..SHARDS * 100).map(|_| registry.on_connect(client(&Role::Node))).collect();
    for shard in &registry.shards {
        assert!((30..300).contains(&shard.clients.read().len()), "{}", shard.clients.read().len());
    }
}

const WRITERS: usize = 4;
const HELD: usize = 16;
const ROUNDS: usize = 2_000;

/// Connects clients and disconnects older ones; returns the remaining registrations.
fn connect_and_disconnect(registry: &ClientRegistry, writer: usize) -> Vec<Registration> {
    let mut held = Vec::new();
    for round in 0..ROUNDS {
        held.push(registry.on_connect(client(&role(writer + round))));
        if held.len() > HELD {
            let removed = held.swap_remove(round % HELD);
            let id = removed.conn_id;
            drop(removed);
            assert!(registry.get(id).is_none());
        }
    }
    held
}

/// Checks a snapshot and a list while other threads connect and disconnect clients, which may be counted or not.
fn check_bounds(registry: &ClientRegistry) {
    let now = registry.health_snapshot();
    assert!(now.operators + now.nodes <= now.total_connections, "{now:?}");
    assert!(now.total_connections <= WRITERS * ROUNDS, "{now:?}");
    let mut ids: Vec<_> = registry.list().iter().map(|client| client.conn_id.bits()).collect();
    let listed = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), listed, "a client is listed twice");
}

/// While threads connect and disconnect clients, no count falls below zero; afterwards the counts are exact.
#[test]
fn snapshot_is_consistent_under_concurrent_change() {
    let registry = ClientRegistry::new();
    let (done, checks) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let registry = &registry;
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || connect_and_disconnect(registry, writer))).collect();
        scope.spawn(|| {
            // At least once.
            while checks.fetch_add(1, SeqCst) == 0 || !done.load(SeqCst) {
                check_bounds(registry);
            }
        });
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, SeqCst);
        let held: Vec<_> = ended.into_iter().flat_map(|held| held.unwrap()).collect();
        let count = |wanted: &Role| held.iter().filter(|client| client.auth.role == *wanted).count();
        let exact = HealthSnapshot {
            total_connections: held.len(),
            operators: count(&Role::Operator),
            nodes: count(&Role::Node),
        };
        assert_eq!(registry.health_snapshot(), exact);
        assert_eq!(registry.list().len(), held.len());
    });
    assert!(registry.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Connect(usize),
    /// Drops one of the registrations.
    Disconnect(usize),
    Get(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3usize).prop_map(Step::Connect),
        2 => any::<usize>().prop_map(Step::Disconnect),
        1 => any::<usize>().prop_map(Step::Get),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn registry_behaves_like_a_plain_map(steps in steps()) {
        let registry = ClientRegistry::new();
        let mut model: HashMap<String, Role> = HashMap::new();
        let mut held: Vec<Registration> = Vec::new();
        for step in steps {
            match step {
                Step::Connect(index) => {
                    let registration = registry.on_connect(client(&role(index)));
                    model.insert(registration.conn_id.to_string(), role(index));
                    held.push(registration);
                }
                Step::Disconnect(index) if !held.is_empty() => {
                    let removed = held.swap_remove(index % held.len());
                    prop_assert!(model.remove(&removed.conn_id.to_string()).is_some());
                }
                Step::Get(index) if !held.is_empty() => {
                    let wanted = &held[index % held.len()];
                    let found = registry.get(wanted.conn_id).expect("it is connected");
                    prop_assert_eq!(&model[&found.conn_id.to_string()], &found.auth.role);
                }
                Step::Disconnect(_) | Step::Get(_) => prop_assert!(registry.get(ConnId::random()).is_none()),
            }
            let count = |wanted: Role| model.values().filter(|role| **role == wanted).count();
            let expected = HealthSnapshot {
                total_connections: model.len(),
                operators: count(Role::Operator),
                nodes: count(Role::Node),
            };
            prop_assert_eq!(registry.health_snapshot(), expected);
            prop_assert_eq!(registry.is_empty(), model.is_empty());
        }
        let mut listed: Vec<String> = registry.list().iter().map(|client| client.conn_id.to_string()).collect();
        let mut expected: Vec<String> = model.into_keys().collect();
        listed.sort();
        expected.sort();
        prop_assert_eq!(listed, expected);
    }
}
