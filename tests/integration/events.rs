//! Topics: who gets which events, in which order, and what becomes of those who don't take them.

use crate::common::fleet::{Fleet, Peer};
use crate::common::wait_until;
use serde_json::{Value, json};
use std::thread;
use std::time::Instant;

const OPERATORS: &[(&str, &str, &str)] = &[
    ("alice", "operator", "*"),
    ("bob", "operator", "events:publish"),
    ("kitchen-pi", "node", ""),
    ("hall-pi", "node", ""),
    ("one", "sensor", ""),
];

#[test]
fn events_reach_each_subscriber_in_order_and_without_a_gap() {
    const EVENTS: u64 = 300;
    // Some read late: after others have read all.
    let fleet = Fleet::start(OPERATORS, "[limits]\nwrite_timeout = \"1h\"");
    let mut subscribers: Vec<_> = (0..5).map(|_| fleet.connect("alice")).collect();
    for subscriber in &mut subscribers {
        let topics = subscriber.call("gateway.subscribe", json!({"topics": ["news", "news"]}));
        assert_eq!(topics, json!({"topics": ["news"]}));
    }
    let mut idle = fleet.connect("alice");
    let publish = |publisher: u64| {
        let mut bob = fleet.connect("bob");
        for number in 0..EVENTS {
            let event = json!({"topic": "news", "data": {"publisher": publisher, "number": number}});
            assert_eq!(bob.call("gateway.publish", event), json!({"queued": 5}));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| publish(0));
        scope.spawn(|| publish(1));
        for subscriber in &mut subscribers {
            let mut next = [0, 0];
            for seq in 1..=2 * EVENTS {
                let event = subscriber.next();
                assert_eq!((&event["method"], &event["params"]["topic"]), (&json!("gateway.event"), &json!("news")));
                assert_eq!(event["params"]["seq"], seq);
                let publisher = event["params"]["data"]["publisher"].as_u64().unwrap() as usize;
                assert_eq!(event["params"]["data"]["number"], next[publisher]);
                next[publisher] += 1;
            }
        }
    });
    assert_eq!(idle.all_so_far(), [] as [Value; 0], "nobody is subscribed by default");
    let status = fleet.gateway.status();
    assert_eq!(status["events"], json!({"published": 2 * EVENTS, "queued": 10 * EVENTS}));
}

#[test]
fn a_subscription_is_the_clients_own_and_ends_with_it() {
    let fleet = Fleet::start(OPERATORS, "[limits]\nmax_subscriptions = 3");
    let (mut alice, mut bob) = (fleet.connect("alice"), fleet.connect("bob"));
    assert_eq!(alice.call("gateway.subscribe", json!({"topics": ["b", "a"]})), json!({"topics": ["a", "b"]}));
    let error = alice.refused("gateway.subscribe", json!({"topics": ["c", "d"]}));
    assert_eq!(
        (&error["code"], &error["data"]),
        (&json!(-32005), &json!({"reason": "too_many_subscriptions", "most": 3}))
    );
    // All or nothing, and those it has count once.
    assert_eq!(alice.call("gateway.subscribe", json!({"topics": ["a", "b", "c"]})), json!({"topics": ["a", "b", "c"]}));
    assert_eq!(alice.call("gateway.unsubscribe", json!({"topics": ["b", "x"]})), json!({"topics": ["a", "c"]}));
    let mut publish = |topic: &str| bob.call("gateway.publish", json!({"topic": topic, "data": null}))["queued"].take();
    assert_eq!((publish("a"), publish("b"), publish("d")), (json!(1), json!(0), json!(0)));
    assert_eq!(alice.next()["params"], json!({"topic": "a", "seq": 1, "data": null}));
    drop(alice);
    fleet.gateway.wait_for_clients(1);
    assert_eq!(publish("a"), 0);
}

#[test]
fn data_is_passed_on_byte_for_byte() {
    let fleet = Fleet::start(OPERATORS, "");
    let mut alice = fleet.connect("alice");
    alice.call("gateway.subscribe", json!({"topics": ["t"]}));
    let data = r#"{"b":1.50, "a":[1e3,"\u00e9"],"a":{}}"#;
    let publish = format!(r#"{{"jsonrpc":"2.0","method":"gateway.publish","params":{{"data":{data},"topic":"t"}}}}"#);
    alice.client.send(&publish);
    let event = r#"{"jsonrpc":"2.0","method":"gateway.event","params":{"topic":"t","seq":1,"data":"#;
    assert_eq!(alice.client.receive(), format!("{event}{data}}}}}"));
}

#[test]
fn who_may_not_is_told_which_scope_is_missing() {
    let fleet = Fleet::start(OPERATORS, "");
    let mut node = fleet.connect("kitchen-pi");
    for (method, params, scope) in [
        ("gateway.subscribe", json!({"topics": ["news", "presence"]}), "clients:read"),
        ("gateway.subscribe", json!({"topics": ["health"]}), "clients:read"),
        ("gateway.publish", json!({}), "events:publish"),
        ("clients.list", json!({}), "clients:read"),
        ("clients.get", json!({}), "clients:read"),
        ("clients.closed", json!({}), "clients:read"),
        ("clients.send", json!({}), "clients:write"),
        ("clients.disconnect", json!({}), "clients:write"),
        ("node.list", json!({}), "clients:read"),
        ("node.invoke", json!({}), "nodes:invoke"),
    ] {
        let error = node.refused(method, params);
        assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32003), &json!("forbidden")), "{method}");
        assert!(error["data"]["scope"] == scope && error["message"].as_str().unwrap().contains(scope), "{error}");
    }
    assert_eq!(node.call("gateway.subscribe", json!({"topics": ["news"]})), json!({"topics": ["news"]}));
    let mut alice = fleet.connect("alice");
    for topic in ["presence", "health"] {
        let error = alice.refused("gateway.publish", json!({"topic": topic, "data": 1}));
        assert_eq!(error["data"], json!({"reason": "invalid_params", "member": "topic"}));
    }
}

#[test]
fn who_does_not_read_is_closed_and_the_others_get_everything() {
    const EVENTS: u64 = 100;
    // Only what no socket takes waits in an outbox.
    let fleet = Fleet::start(OPERATORS, "[limits]\nmax_message_bytes = 200000\noutbox_max_bytes = 400000");
    let mut subscribers: Vec<_> = (0..4).map(|_| fleet.connect("alice")).collect();
    for subscriber in &mut subscribers {
        subscriber.call("gateway.subscribe", json!({"topics": ["news"]}));
    }
    let stuck = subscribers.remove(0);
    let mut bob = fleet.connect("bob");
    for seq in 1..=EVENTS {
        bob.call("gateway.publish", json!({"topic": "news", "data": [seq, "x".repeat(100_000)]}));
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.next()["params"]["seq"], seq);
        }
    }
    let mut alice = fleet.connect("alice");
    let mut closed = Value::Null;
    wait_until("it is closed", || {
        closed = alice.call("clients.closed", json!({"reason": "slow_consumer"}))["closed"].take();
        closed.as_array().is_some_and(|closed| !closed.is_empty())
    });
    assert_eq!((&closed[0]["conn_id"], &closed[1]), (&json!(stuck.conn_id), &Value::Null));
    assert_eq!((&closed[0]["closed_by"], &closed[0]["code"]), (&json!("gateway"), &json!(4101)));
    assert_eq!(closed[0]["health"], "blocked");
    assert!(closed[0]["outbox_highest_bytes"].as_u64().is_some_and(|bytes| bytes > 200_000), "{closed}");
}

fn presence(event: &Value) -> (u64, String, String) {
    let (params, data) = (&event["params"], &event["params"]["data"]);
    assert_eq!(params["topic"], "presence", "{event}");
    let text = |name: &str| data[name].as_str().unwrap().to_owned();
    (params["seq"].as_u64().unwrap(), text("event"), text("presence_key"))
}

#[test]
fn the_first_joins_and_the_last_leaves_and_a_replacement_does_neither() {
    let fleet = Fleet::start(OPERATORS, "");
    let mut alice = fleet.connect("alice");
    alice.call("gateway.subscribe", json!({"topics": ["presence"]}));
    let mut first = fleet.connect("kitchen-pi");
    let joined = |seq, key: &str| (seq, "joined".to_owned(), key.to_owned());
    let left = |seq, key: &str| (seq, "left".to_owned(), key.to_owned());
    assert_eq!(presence(&alice.next()), joined(1, "node:kitchen-pi"));
    let mut second = fleet.connect("kitchen-pi");
    assert_eq!(first.client.closed(), (4001, "replaced".to_owned()));
    let bobs = [fleet.connect("bob"), fleet.connect("bob")];
    assert_eq!(presence(&alice.next()), joined(2, "operator:bob"));
    drop(bobs);
    assert_eq!(presence(&alice.next()), left(3, "operator:bob"));
    // The second has stayed, whatever came of the first.
    let nodes = alice.call("node.list", json!({}));
    assert_eq!((&nodes["nodes"][0]["conn_id"], &nodes["nodes"][1]), (&json!(second.conn_id), &Value::Null));
    assert_eq!(second.call("gateway.ping", json!({})), "pong");
    drop(second);
    assert_eq!(presence(&alice.next()), left(4, "node:kitchen-pi"));
    assert_eq!(alice.call("node.list", json!({}))["nodes"], json!([]));
}

#[test]
fn who_is_told_to_go_is_there_no_more_however_long_it_takes() {
    let fleet = Fleet::start(OPERATORS, "[presence]\nsensor = \"reject\"\n[limits]\nclose_timeout = \"1h\"");
    let mut alice = fleet.connect("alice");
    alice.call("gateway.subscribe", json!({"topics": ["presence"]}));
    let nodes = |alice: &mut Peer| alice.call("node.list", json!({}))["nodes"].take();
    // Nobody reads for the first: it never answers that it is replaced.
    let first = fleet.connect("kitchen-pi");
    let mut second = fleet.connect("kitchen-pi");
    let listed = nodes(&mut alice);
    assert_eq!((&listed[0]["conn_id"], &listed[0]["connections"]), (&json!(second.conn_id), &json!(1)));
    second.client.socket.close(None).unwrap();
    while second.client.socket.read().is_ok() {}
    assert_eq!(presence(&alice.next()).1, "joined");
    assert_eq!(presence(&alice.next()), (2, "left".to_owned(), "node:kitchen-pi".to_owned()));
    assert_eq!(nodes(&mut alice), json!([]));
    let one = alice.call("clients.get", json!({"conn_id": first.conn_id}));
    assert_eq!(one["health"], "closing");
    // The same of one that is kicked; its place is free.
    let kicked = fleet.connect("one");
    assert_eq!(presence(&alice.next()).1, "joined");
    alice.call("clients.disconnect", json!({"conn_id": kicked.conn_id}));
    assert_eq!(presence(&alice.next()), (4, "left".to_owned(), "sensor:one".to_owned()));
    let _next = fleet.connect("one");
    assert_eq!(presence(&alice.next()).1, "joined");
    assert_eq!(alice.call("clients.list", json!({"role": "sensor"}))["clients"].as_array().unwrap().len(), 2);
    assert_eq!(
        alice.call("clients.list", json!({"presence_key": "sensor:one"}))["clients"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn where_only_one_may_be_the_second_is_refused() {
    let fleet = Fleet::start(OPERATORS, "[presence]\nsensor = \"reject\"\nnode = \"allow\"\noperator = \"replace\"");
    let one = fleet.connect("one");
    let Err(tungstenite::Error::Http(response)) = fleet.try_connect("one") else { panic!("there are two") };
    assert_eq!(response.status(), 409);
    assert!(std::str::from_utf8(response.body().as_deref().unwrap()).unwrap().contains("presence_taken"));
    assert_eq!(fleet.gateway.status()["handshakes"]["failed"]["presence_taken"], 1);
    drop(one);
    wait_until("the place is free", || fleet.try_connect("one").is_ok());
    let (_first, _second) = (fleet.connect("hall-pi"), fleet.connect("hall-pi"));
    let mut alice = fleet.connect("alice");
    assert_eq!(alice.call("node.list", json!({}))["nodes"][0]["connections"], 2);
    let _other = fleet.connect("alice");
    assert_eq!(alice.client.closed(), (4001, "replaced".to_owned()));
}

#[test]
fn health_is_told_when_it_has_changed_and_once_a_second_at_the_most() {
    let fleet = Fleet::start(OPERATORS, "");
    let mut alice = fleet.connect("alice");
    let begin = Instant::now();
    alice.call("gateway.subscribe", json!({"topics": ["health"]}));
    let bobs: Vec<_> = (0..20).map(|_| fleet.connect("bob")).collect();
    let total = |event: &Value| event["params"]["data"]["total_connections"].as_u64().unwrap();
    let mut events = vec![alice.next()];
    while total(&events[events.len() - 1]) != 21 {
        events.push(alice.next());
    }
    drop(bobs);
    while total(&events[events.len() - 1]) != 1 {
        events.push(alice.next());
    }
    assert!(events.len() as u64 <= begin.elapsed().as_secs() + 1, "{events:#?}");
    for (index, pair) in events.windows(2).enumerate() {
        assert_ne!(pair[0]["params"]["data"], pair[1]["params"]["data"]);
        assert_eq!(pair[1]["params"]["seq"], index + 2);
    }
    assert_eq!(alice.all_so_far(), [] as [Value; 0]);
}
