//! `clients.*`: lists of open and closed clients, messages to them, and disconnecting them.

use crate::common::test_gateway::TestGateway;
use crate::common::wait_until;
use serde_json::{Value, json};

const CREDENTIALS: &[(&str, &str, &str)] = &[
    ("alice", "operator", "*"),
    ("bob", "operator", ""),
    ("kitchen-pi", "node", ""),
    ("hall-pi", "node", ""),
    ("one", "sensor", "x:y"),
];

/// The presence keys of a list, in order.
fn keys(list: &Value) -> Vec<&str> {
    let clients = list.get("clients").or(list.get("closed")).unwrap().as_array().unwrap();
    clients.iter().map(|client| client["presence_key"].as_str().unwrap()).collect()
}

#[test]
fn list_returns_clients_that_match_every_filter() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut alice = gateway.connect("alice");
    let _others =
        [gateway.connect("bob"), gateway.connect("kitchen-pi"), gateway.connect("hall-pi"), gateway.connect("one")];
    #[rustfmt::skip]
    let cases: &[(Value, &[&str])] = &[
        (json!({}), &["operator:alice", "operator:bob", "node:kitchen-pi", "node:hall-pi", "sensor:one"]),
        (json!({"sort": "newest"}), &["sensor:one", "node:hall-pi", "node:kitchen-pi", "operator:bob", "operator:alice"]),
        (json!({"sort": "presence_key"}), &["node:hall-pi", "node:kitchen-pi", "operator:alice", "operator:bob", "sensor:one"]),
        (json!({"role": "node"}), &["node:kitchen-pi", "node:hall-pi"]),
        (json!({"role": "sensor", "address": "127.0.0.0/8"}), &["sensor:one"]),
        (json!({"presence_key": "operator:bob"}), &["operator:bob"]),
        (json!({"presence_key": "operator:bob", "role": "node"}), &[]),
        (json!({"address": "10.0.0.0/8"}), &[]),
        (json!({"address": "127.0.", "role": "sensor"}), &["sensor:one"]),
        (json!({"min_connected_seconds": 3600}), &[]),
        (json!({"min_idle_seconds": 3600}), &[]),
        (json!({"min_idle_seconds": 0, "role": "sensor"}), &["sensor:one"]),
        (json!({"health": "ok", "role": "sensor"}), &["sensor:one"]),
        (json!({"health": "blocked"}), &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(keys(&alice.call("clients.list", filter.clone())), *expected, "{filter}");
    }
}

/// A method, params that it rejects, and the member that the error must name.
#[rustfmt::skip]
fn invalid_params() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("clients.list", json!({"rolle": "node"}), "rolle"),
        ("clients.list", json!({"role": 1}), "role"),
        ("clients.list", json!({"role": "nodes"}), "role"),
        ("clients.list", json!({"presence_key": "kitchen-pi"}), "presence_key"),
        ("clients.closed", json!({"presence_key": "nodes:kitchen-pi"}), "presence_key"),
        ("clients.list", json!({"address": "999."}), "address"),
        ("clients.disconnect", json!({"role": "none"}), "role"),
        ("clients.send", json!({"presence_key": "kitchen-pi", "method": "x"}), "presence_key"),
        ("node.list", json!({"presence_key": "operator:alice"}), "presence_key"),
        ("clients.list", json!({"limit": 0}), "limit"),
        ("clients.list", json!({"limit": 1001}), "limit"),
        ("clients.list", json!({"limit": "5"}), "limit"),
        ("clients.list", json!({"cursor": "x"}), "cursor"),
        ("clients.list", json!({"sort": "name"}), "sort"),
        ("clients.list", json!({"address": "nowhere"}), "address"),
        ("clients.list", json!({"min_idle_seconds": -1}), "min_idle_seconds"),
        ("clients.list", json!({"min_connected_seconds": null}), "min_connected_seconds"),
        ("clients.list", json!({"health": "well"}), "health"),
        ("clients.list", json!({"reason": "normal"}), "reason"),
        ("clients.get", json!({}), "conn_id"),
        ("clients.get", json!({"conn_id": "x"}), "conn_id"),
        ("clients.closed", json!({"reason": "x"}), "reason"),
        ("clients.closed", json!({"cursor": "x"}), "cursor"),
        ("node.list", json!({"cursor": ""}), "cursor"),
        ("node.list", json!({"cursor": "o00000000-0000-4000-8000-000000000000-1-node:x"}), "cursor"),
        ("clients.send", json!({"method": "x"}), "conn_id"),
        ("clients.send", json!({"role": "node", "presence_key": "node:x", "method": "x"}), "role"),
        ("clients.send", json!({"role": "node"}), "method"),
        ("clients.send", json!({"role": "node", "method": "gateway.event"}), "method"),
        ("clients.send", json!({"role": "node", "method": ""}), "method"),
        ("clients.send", json!({"role": "node", "method": "x", "params": 1}), "params"),
        ("clients.disconnect", json!({}), "conn_id"),
        ("clients.disconnect", json!({"role": "node", "dry_run": "yes"}), "dry_run"),
        ("clients.disconnect", json!({"role": "node", "reason": "x".repeat(101)}), "reason"),
        ("clients.disconnect", json!({"role": "node", "reason": "a\nb"}), "reason"),
        ("gateway.subscribe", json!({}), "topics"),
        ("gateway.subscribe", json!({"topics": ["a b"]}), "topics"),
        ("gateway.subscribe", json!({"topics": "a"}), "topics"),
        ("gateway.publish", json!({"topic": "a"}), "data"),
        ("gateway.publish", json!({"data": 1}), "topic"),
        ("gateway.publish", json!({"topic": "", "data": 1}), "topic"),
        ("node.invoke", json!({"method": "x"}), "target"),
        ("node.invoke", json!({"target": "x", "method": 1}), "method"),
        ("node.invoke", json!({"target": "x", "method": "x", "timeout": 0}), "timeout"),
        ("node.invoke", json!({"target": "x", "method": "x", "timeout": 3601}), "timeout"),
        ("node.list", json!({"role": "node"}), "role"),
    ]
}

#[test]
fn error_for_invalid_params_names_the_member() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut alice = gateway.connect("alice");
    for (method, params, member) in invalid_params() {
        let error = alice.call_error(method, params.clone());
        assert_eq!(error["code"], -32602, "{method} {params}: {error}");
        assert_eq!(error["data"], json!({"reason": "invalid_params", "member": member}), "{method} {params}: {error}");
        assert!(error["message"].as_str().unwrap().contains(member), "{method} {params}: {error}");
    }
    let mut node = gateway.connect("kitchen-pi");
    for capabilities in [
        json!(null),
        json!([{"service": "x"}]),
        json!([{"service": "x", "methods": [1]}]),
        json!([{"service": "x", "methods": [""]}]),
        json!([{"service": "", "methods": []}]),
        json!([["x", [], "x"]]),
        json!([[]]),
        json!([{"service": "x", "methods": [], "more": 1}]),
        json!(vec![json!({"service": "x", "methods": []}); 65]),
        json!([{"service": "x", "methods": ["x".repeat(20_000)]}]),
    ] {
        let error = node.call_error("node.announce", json!({"capabilities": capabilities}));
        assert_eq!(error["data"]["member"], "capabilities", "{capabilities}: {error}");
        assert!(!error["message"].as_str().unwrap().contains("line 1"), "{error}");
    }
    let error = alice.call_error("node.announce", json!({"capabilities": []}));
    assert_eq!((&error["code"], &error["data"]["role"]), (&json!(-32003), &json!("node")));
}

#[test]
fn result_above_the_limit_is_too_large_and_can_be_paged() {
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nmax_message_bytes = 10000\noutbox_max_bytes = 20000");
    let mut alice = gateway.connect("alice");
    let _others: Vec<_> = (0..50).map(|_| gateway.connect("bob")).collect();
    let error = alice.call_error("clients.list", json!({}));
    assert_eq!(error["data"], json!({"reason": "answer_too_large", "most": 10_000}), "{error}");
    assert_eq!(alice.call("clients.list", json!({"limit": 10}))["clients"].as_array().map(Vec::len), Some(10));
    // A long unknown member is shortened in the error.
    let error = alice.call_error("clients.list", json!({"x".repeat(9_000): 1}));
    assert!(error["message"].as_str().is_some_and(|text| text.len() < 500), "{error}");
}

#[test]
fn get_returns_all_details_of_a_client() {
    let gateway = TestGateway::start(CREDENTIALS, "[heartbeat]\ninterval = \"5s\"\ntimeout = \"5s\"");
    let (mut alice, mut one) = (gateway.connect("alice"), gateway.connect("one"));
    one.call("gateway.subscribe", json!({"topics": ["sensor:one/b", "sensor:one/a"]}));
    one.call("gateway.echo", json!({"text": "x".repeat(1000)}));
    let mut details = Value::Null;
    wait_until("a round trip", || {
        // The client answers pings while it reads.
        one.call("gateway.ping", json!({}));
        details = alice.call("clients.get", json!({"conn_id": one.conn_id}));
        !details["round_trip_microseconds"].is_null()
    });
    assert_eq!(details["conn_id"], one.conn_id.as_str());
    assert_eq!(
        (&details["role"], &details["name"], &details["presence_key"]),
        (&json!("sensor"), &json!("one"), &json!("sensor:one"))
    );
    assert_eq!(
        (&details["scopes"], &details["subscriptions"]),
        (&json!(["x:y"]), &json!(["sensor:one/a", "sensor:one/b"]))
    );
    assert!(details["remote_addr"].as_str().unwrap().starts_with("127.0.0.1:"), "{details}");
    let number = |pointer: &str| {
        details.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {details}"))
    };
    let messages = number("/messages/in");
    assert!(messages >= 3 && number("/messages/out") == messages, "{details}");
    assert!(number("/bytes/in") > 1000 && number("/bytes/out") > 1000, "{details}");
    assert!(number("/outbox/peak_bytes") > 1000 && number("/outbox/bytes") == 0, "{details}");
    let error = alice.call_error("clients.get", json!({"conn_id": "00000000-0000-4000-8000-000000000000"}));
    assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32004), &json!("not_found")));
}

#[test]
fn closed_clients_are_listed_up_to_the_configured_number() {
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nclosed_connections = 3");
    let mut alice = gateway.connect("alice");
    for (count, name) in ["bob", "kitchen-pi", "hall-pi", "one"].into_iter().enumerate() {
        let mut client = gateway.connect(name);
        if name == "one" {
            drop(client);
        } else {
            client.client.close();
        }
        // One close at a time, so that the list has a known order.
        gateway.wait_for_disconnects(count + 1);
        gateway.wait_for_clients(1);
    }
    let closed = alice.call("clients.closed", json!({}));
    assert_eq!(keys(&closed), ["sensor:one", "node:hall-pi", "node:kitchen-pi"]);
    let ended = |index: usize| (&closed["closed"][index]["reason"], &closed["closed"][index]["closed_by"]);
    assert_eq!(ended(0), (&json!("abnormal"), &json!("network")));
    assert_eq!(ended(1), (&json!("normal"), &json!("client")));
    let first = alice.call("clients.closed", json!({"limit": 2}));
    assert_eq!(keys(&first), ["sensor:one", "node:hall-pi"]);
    let second = alice.call("clients.closed", json!({"limit": 2, "cursor": first["next_cursor"]}));
    assert_eq!((keys(&second), &second["next_cursor"]), (vec!["node:kitchen-pi"], &Value::Null));
    assert_eq!(
        keys(&alice.call("clients.closed", json!({"role": "node", "reason": "normal"}))),
        ["node:hall-pi", "node:kitchen-pi"]
    );
    assert_eq!(keys(&alice.call("clients.closed", json!({"min_connected_seconds": 3600}))), [] as [&str; 0]);
}

#[test]
fn client_that_reads_nothing_is_blocked() {
    // No timeout closes the client during the test.
    let settings = "[heartbeat]\ninterval = \"1h\"\ntimeout = \"1h\"\n[limits]\nwrite_timeout = \"1h\"";
    let gateway = TestGateway::start(CREDENTIALS, settings);
    let mut alice = gateway.connect("alice");
    let stuck = gateway.connect("bob");
    let flood = json!({"conn_id": stuck.conn_id, "method": "x", "params": ["x".repeat(900_000)]});
    wait_until("a blocked client", || {
        let id = alice.request("clients.send", flood.clone());
        alice.response(id);
        keys(&alice.call("clients.list", json!({"health": "blocked"}))) == ["operator:bob"]
    });
    assert_eq!(keys(&alice.call("clients.list", json!({"health": "ok"}))), ["operator:alice"]);
}

#[test]
fn client_that_answers_no_ping_is_silent_and_then_closed() {
    let gateway = TestGateway::start(CREDENTIALS, "[heartbeat]\ninterval = \"5s\"\ntimeout = \"5s\"");
    let mut alice = gateway.connect("alice");
    // The test doesn't read from it, so it answers no ping.
    let _silent = gateway.connect("one");
    wait_until("a silent client", || keys(&alice.call("clients.list", json!({"health": "silent"}))) == ["sensor:one"]);
    wait_until("its close", || {
        let closed = alice.call("clients.closed", json!({"health": "silent"}));
        keys(&closed) == ["sensor:one"] && closed["closed"][0]["reason"] == "pong_timeout"
    });
}

#[test]
fn sent_notification_reaches_exactly_its_targets() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut alice = gateway.connect("alice");
    let mut nodes = [gateway.connect("kitchen-pi"), gateway.connect("hall-pi")];
    let mut bobs = [gateway.connect("bob"), gateway.connect("bob")];
    let mut send = |target: Value, number: u32| {
        let mut params = json!({"method": "note", "params": [number]});
        params.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        alice.call("clients.send", params)["queued"].as_u64().unwrap()
    };
    let notification = |number: u32| json!({"jsonrpc": "2.0", "method": "note", "params": [number]});
    assert_eq!(send(json!({"role": "node"}), 1), 2);
    assert_eq!(send(json!({"presence_key": "operator:bob"}), 2), 2);
    assert_eq!(send(json!({"conn_id": nodes[0].conn_id}), 3), 1);
    assert_eq!(send(json!({"presence_key": "operator:none"}), 4), 0);
    assert_eq!(nodes[0].pending_messages(), [notification(1), notification(3)]);
    assert_eq!(nodes[1].pending_messages(), [notification(1)]);
    assert!(bobs.iter_mut().all(|bob| bob.pending_messages() == [notification(2)]));
}

#[test]
fn disconnected_clients_receive_the_reason() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut alice = gateway.connect("alice");
    let (mut kitchen, mut hall, mut one) =
        (gateway.connect("kitchen-pi"), gateway.connect("hall-pi"), gateway.connect("one"));
    let dry = alice.call("clients.disconnect", json!({"role": "node", "dry_run": true}));
    assert_eq!(dry, json!({"matched": 2, "disconnected": 0, "dry_run": true}));
    assert_eq!(kitchen.call("gateway.ping", json!({})), "pong");
    let long = "ü".repeat(50);
    let done = alice.call("clients.disconnect", json!({"role": "node", "reason": long}));
    assert_eq!(done, json!({"matched": 2, "disconnected": 2, "dry_run": false}));
    assert_eq!(kitchen.client.wait_for_close(), (4000, format!("kicked: {long}")));
    assert_eq!(hall.client.wait_for_close(), (4000, format!("kicked: {long}")));
    let done = alice.call("clients.disconnect", json!({"conn_id": one.conn_id}));
    assert_eq!(done, json!({"matched": 1, "disconnected": 1, "dry_run": false}));
    assert_eq!(one.client.wait_for_close(), (4000, "kicked".to_owned()));
    // A filter never matches the caller.
    let mut bob = gateway.connect("bob");
    let done = alice.call("clients.disconnect", json!({"min_connected_seconds": 0}));
    assert_eq!(done["disconnected"], 1);
    assert_eq!(bob.client.wait_for_close().0, 4000);
    let error = alice.call_error("clients.disconnect", json!({"conn_id": one.conn_id}));
    assert_eq!(error["data"]["reason"], "not_found");
    let audit = format!(" disconnecting clients=2 by=operator:alice detail={long:?} role=node");
    gateway.wait_for_line("the caller, once for both nodes", |line| line.ends_with(&audit));
    let audit = format!(" disconnecting clients=1 by=operator:alice detail=\"\" conn_id={}", one.conn_id);
    gateway.wait_for_line("the caller", |line| line.ends_with(&audit));
    gateway.wait_for_line("the words", |line| {
        line.contains(" disconnected ") && line.ends_with(&format!(" detail={long:?}"))
    });
    let closed = alice.call("clients.closed", json!({"reason": "kicked"}));
    let closed = closed["closed"].as_array().unwrap();
    let details: Vec<_> = closed.iter().map(|closed| (&closed["requested_by"], &closed["detail"])).collect();
    let by = json!("operator:alice");
    assert_eq!(details, [(&by, &Value::Null), (&by, &Value::Null), (&by, &json!(long)), (&by, &json!(long))]);
}

/// Otherwise a question that is asked at that moment has no answer.
#[test]
fn ending_client_is_always_found_open_or_closed() {
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nclosed_connections = 10000");
    let mut alice = gateway.connect("alice");
    for _ in 0..200 {
        let node = gateway.connect("kitchen-pi");
        let conn_id = node.conn_id.clone();
        drop(node);
        loop {
            // In one batch, so that little time passes in between.
            let is_open = alice.request("clients.get", json!({"conn_id": conn_id}));
            let closed = alice.request("clients.closed", json!({"limit": 5}));
            let is_open = alice.response(is_open).get("result").is_some();
            let closed = alice.response(closed)["result"]["closed"].take();
            let is_closed = closed.as_array().unwrap().iter().any(|closed| closed["conn_id"] == conn_id);
            assert!(is_open || is_closed, "{conn_id} is in neither list");
            if is_closed {
                break;
            }
        }
    }
}
