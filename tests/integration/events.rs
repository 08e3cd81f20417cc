//! Topics: which subscribers receive which events, in which order, and what happens to those that don't read.

use crate::common::test_gateway::TestGateway;
use crate::common::wait_until;
use serde_json::{Value, json};
use std::thread;

const CREDENTIALS: &[(&str, &str, &str)] =
    &[("alice", "operator", "*"), ("bob", "operator", "events:publish"), ("kitchen-pi", "node", "")];

#[test]
fn each_subscriber_receives_all_events_in_order() {
    const EVENTS: u64 = 300;
    // Some subscribers read only after others have read everything.
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nwrite_timeout = \"1h\"");
    let mut subscribers: Vec<_> = (0..5).map(|_| gateway.connect("alice")).collect();
    for subscriber in &mut subscribers {
        let topics = subscriber.call("gateway.subscribe", json!({"topics": ["news", "news"]}));
        assert_eq!(topics, json!({"topics": ["news"]}));
    }
    let mut idle = gateway.connect("alice");
    let publish = |publisher: u64| {
        let mut bob = gateway.connect("bob");
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
                let event = subscriber.next_message();
                assert_eq!((&event["method"], &event["params"]["topic"]), (&json!("gateway.event"), &json!("news")));
                assert_eq!(event["params"]["seq"], seq);
                let publisher = event["params"]["data"]["publisher"].as_u64().unwrap() as usize;
                assert_eq!(event["params"]["data"]["number"], next[publisher]);
                next[publisher] += 1;
            }
        }
    });
    assert_eq!(idle.pending_messages(), [] as [Value; 0], "no client is subscribed by default");
    let status = gateway.status();
    assert_eq!(status["events"], json!({"published": 2 * EVENTS, "queued": 10 * EVENTS}));
}

#[test]
fn subscriptions_are_bounded_and_end_with_the_client() {
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nmax_subscriptions = 3");
    let (mut alice, mut bob) = (gateway.connect("alice"), gateway.connect("bob"));
    assert_eq!(alice.call("gateway.subscribe", json!({"topics": ["b", "a"]})), json!({"topics": ["a", "b"]}));
    let error = alice.call_error("gateway.subscribe", json!({"topics": ["c", "d"]}));
    assert_eq!(
        (&error["code"], &error["data"]),
        (&json!(-32005), &json!({"reason": "too_many_subscriptions", "most": 3}))
    );
    // The topics of one request are counted while they are read, so the fifth isn't noticed to be invalid.
    for method in ["gateway.subscribe", "gateway.unsubscribe"] {
        let error = alice.call_error(method, json!({"topics": ["a", "a", "a", "a", "not a topic"]}));
        assert_eq!(error["data"]["reason"], "too_many_subscriptions", "{method}");
    }
    // A request subscribes to all topics or none; existing subscriptions aren't counted again.
    assert_eq!(alice.call("gateway.subscribe", json!({"topics": ["a", "b", "c"]})), json!({"topics": ["a", "b", "c"]}));
    assert_eq!(alice.call("gateway.unsubscribe", json!({"topics": ["b", "x"]})), json!({"topics": ["a", "c"]}));
    let mut publish = |topic: &str| bob.call("gateway.publish", json!({"topic": topic, "data": null}))["queued"].take();
    assert_eq!((publish("a"), publish("b"), publish("d")), (json!(1), json!(0), json!(0)));
    assert_eq!(alice.next_message()["params"], json!({"topic": "a", "seq": 1, "data": null}));
    drop(alice);
    gateway.wait_for_clients(1);
    assert_eq!(publish("a"), 0);
}

#[test]
fn event_data_is_passed_on_byte_for_byte() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut alice = gateway.connect("alice");
    alice.call("gateway.subscribe", json!({"topics": ["t"]}));
    let data = r#"{"b":1.50, "a":[1e3,"\u00e9"],"a":{}}"#;
    let publish = format!(r#"{{"jsonrpc":"2.0","method":"gateway.publish","params":{{"data":{data},"topic":"t"}}}}"#);
    alice.client.send(&publish);
    let event = r#"{"jsonrpc":"2.0","method":"gateway.event","params":{"topic":"t","seq":1,"data":"#;
    assert_eq!(alice.client.receive(), format!("{event}{data}}}}}"));
}

#[test]
fn publish_or_reserved_topic_without_scope_is_forbidden() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut node = gateway.connect("kitchen-pi");
    for (topic, scope) in [("presence", "clients:read"), ("health", "clients:read"), ("news", "events:read")] {
        let error = node.call_error("gateway.subscribe", json!({"topics": ["node:kitchen-pi", topic]}));
        assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32003), &json!("forbidden")), "{topic}");
        assert_eq!(error["data"]["scope"], scope, "{error}");
    }
    let error = node.call_error("gateway.publish", json!({"topic": "news", "data": 1}));
    assert_eq!((&error["code"], &error["data"]["scope"]), (&json!(-32003), &json!("events:publish")), "{error}");
    let own = json!({"topics": ["node:kitchen-pi", "node:kitchen-pi/orders"]});
    assert_eq!(node.call("gateway.subscribe", own.clone()), own, "a client's own topics");
    let mut alice = gateway.connect("alice");
    for topic in ["presence", "health"] {
        let error = alice.call_error("gateway.publish", json!({"topic": topic, "data": 1}));
        assert_eq!(error["data"], json!({"reason": "invalid_params", "member": "topic"}));
    }
}

#[test]
fn scopes_with_patterns_allow_the_topics_and_methods_that_match() {
    let scopes = "events:read:site.* events:read:news events:publish:alerts.* nodes:invoke:light.*";
    let gateway = TestGateway::start(&[("ann", "operator", scopes), ("kitchen-pi", "node", "")], "");
    let (mut ann, _node) = (gateway.connect("ann"), gateway.connect("kitchen-pi"));
    let all = json!({"topics": ["news", "site.a", "site.b"]});
    assert_eq!(ann.call("gateway.subscribe", all.clone()), all);
    for topic in ["site", "news.x", "other"] {
        let error = ann.call_error("gateway.subscribe", json!({"topics": ["news", topic]}));
        assert_eq!(error["data"], json!({"reason": "forbidden", "scope": "events:read"}), "{topic}");
    }
    assert_eq!(ann.call("gateway.publish", json!({"topic": "alerts.fire", "data": 1})), json!({"queued": 0}));
    let error = ann.call_error("gateway.publish", json!({"topic": "alert", "data": 1}));
    assert_eq!(error["data"]["scope"], "events:publish");
    // Over HTTP too. An escaped name is the same name.
    let invoke = |method: &str| {
        let body = format!(r#"{{"method":"{method}","timeout":0.001}}"#);
        gateway.http_error("ann", "POST /nodes/node:kitchen-pi/invoke", &body)
    };
    assert_eq!(invoke("light.set"), (504, "timeout".to_owned()));
    assert_eq!(invoke(r"li\u0067ht.set"), (504, "timeout".to_owned()));
    assert_eq!(invoke("door.open"), (403, "forbidden".to_owned()));
}

#[test]
fn subscriber_with_a_full_outbox_is_closed_and_others_receive_everything() {
    const EVENTS: u64 = 100;
    // An outbox holds what the socket doesn't accept.
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nmax_message_bytes = 200000\noutbox_max_bytes = 400000");
    let mut subscribers: Vec<_> = (0..4).map(|_| gateway.connect("alice")).collect();
    for subscriber in &mut subscribers {
        subscriber.call("gateway.subscribe", json!({"topics": ["news"]}));
    }
    let stuck = subscribers.remove(0);
    let mut bob = gateway.connect("bob");
    for seq in 1..=EVENTS {
        bob.call("gateway.publish", json!({"topic": "news", "data": [seq, "x".repeat(100_000)]}));
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.next_message()["params"]["seq"], seq);
        }
    }
    let mut alice = gateway.connect("alice");
    let mut closed = Value::Null;
    wait_until("the close", || {
        closed = alice.call("clients.closed", json!({"reason": "slow_consumer"}))["closed"].take();
        closed.as_array().is_some_and(|closed| !closed.is_empty())
    });
    assert_eq!((&closed[0]["conn_id"], &closed[1]), (&json!(stuck.conn_id), &Value::Null));
    assert_eq!((&closed[0]["closed_by"], &closed[0]["code"]), (&json!("gateway"), &json!(4101)));
    assert_eq!(closed[0]["health"], "blocked");
    assert!(closed[0]["outbox_peak_bytes"].as_u64().is_some_and(|bytes| bytes > 200_000), "{closed}");
    assert_eq!(
        (&closed[0]["detail"], &closed[0]["requested_by"]),
        (&json!("over limits.outbox_max_bytes"), &Value::Null)
    );
    let line = gateway.wait_for_disconnects(1).remove(0);
    assert!(line.ends_with(" detail=\"over limits.outbox_max_bytes\""), "{line}");
}

/// The bytes of a burst count, not its messages.
#[test]
fn subscriber_that_does_not_read_receives_a_burst_of_small_events_later() {
    const EVENTS: usize = 20_000;
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nwrite_timeout = \"1h\"");
    let mut subscriber = gateway.connect("alice");
    subscriber.call("gateway.subscribe", json!({"topics": ["news"]}));
    let mut bob = gateway.connect("bob");
    for number in 0..EVENTS {
        // Without an ID, so that there are no responses to read.
        bob.client.send(&format!(
            r#"{{"jsonrpc":"2.0","method":"gateway.publish","params":{{"topic":"news","data":{number}}}}}"#
        ));
    }
    gateway.wait_for_status("all events", |status| status["events"]["queued"] == EVENTS);
    for number in 0..EVENTS {
        assert_eq!(subscriber.next_message()["params"]["data"], number);
    }
}

#[test]
fn event_that_other_parsers_reject_is_refused() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut bob = gateway.connect("bob");
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (data, problem) in [
        (r#""\ud800""#, Some("has an unpaired surrogate")),
        (r#"{"\udc00":1}"#, Some("has an unpaired surrogate")),
        (&nested(126), Some("has more than 125 levels")),
        (r#""\ud83d\ude00 \\ud800""#, None),
        (&nested(125), None),
    ] {
        bob.client.send(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.publish","params":{{"topic":"news","data":{data}}}}}"#
        ));
        let response = bob.response(1);
        let message = problem.map(|problem| json!(format!("Invalid params: data: {problem}")));
        assert_eq!(response["error"].get("message"), message.as_ref(), "{data}");
        let body = format!(r#"{{"data":{data}}}"#);
        assert_eq!(
            gateway.http("bob", "POST /topics/news/messages", &body).0,
            if problem.is_some() { 400 } else { 200 }
        );
    }
}

#[test]
fn health_event_follows_a_connect_and_a_disconnect() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut alice = gateway.connect("alice");
    alice.call("gateway.subscribe", json!({"topics": ["health"]}));
    let bob = gateway.connect("bob");
    let mut wait_for_total = |total: u64| while alice.next_message()["params"]["data"]["total_connections"] != total {};
    wait_for_total(2);
    drop(bob);
    wait_for_total(1);
}
