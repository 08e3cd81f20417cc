//! Many node calls in flight, with nodes that answer, don't answer, disconnect or don't read.

use crate::common::test_gateway::{RpcClient, TestGateway, error_reason};
use serde_json::{Value, json};
use std::thread;

const CREDENTIALS: &[(&str, &str, &str)] =
    &[("alice", "operator", "*"), ("bob", "operator", "*"), ("kitchen-pi", "node", ""), ("hall-pi", "node", "")];

/// What a node does with a call. It disconnects after it has answered the other calls.
const ANSWER: &str = "answer";
const IGNORE: &str = "ignore";
const DISCONNECT: &str = "disconnect";

#[test]
fn each_of_many_concurrent_calls_ends_once_with_its_own_answer() {
    const NODES: usize = 40;
    const CALLERS: usize = 5;
    const EACH: usize = 10;
    let names: Vec<_> = (0..NODES).map(|index| format!("n{index}")).collect();
    let mut credentials: Vec<_> = names.iter().map(|name| (name.as_str(), "node", "")).collect();
    credentials.push(("alice", "operator", "*"));
    let gateway = TestGateway::start(&credentials, "");
    let nodes: Vec<_> = names.iter().map(|name| gateway.connect(name)).collect();
    thread::scope(|scope| {
        let nodes = nodes.into_iter().enumerate();
        let nodes: Vec<_> =
            nodes.map(|(index, node)| scope.spawn(move || serve(node, CALLERS * EACH, index))).collect();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (gateway, names) = (&gateway, &names);
                scope.spawn(move || call_all(gateway.connect("alice"), caller, EACH, names))
            })
            .collect();
        let _nodes: Vec<_> = nodes.into_iter().map(|node| node.join().unwrap()).collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
    let calls = gateway.wait_for_calls();
    let count = |label: &str| calls["ended"][label].as_u64().unwrap();
    assert_eq!(calls["started"], NODES * CALLERS * EACH);
    assert_eq!(count("answered") + count("timeout") + count("node_disconnected"), (NODES * CALLERS * EACH) as u64);
    let mut alice = gateway.connect("alice");
    for client in alice.call("clients.list", json!({"limit": 1000}))["clients"].as_array().unwrap() {
        let id = alice.request("clients.get", json!({"conn_id": client["conn_id"]}));
        let answer = alice.response(id);
        let disconnected = answer["error"]["data"]["reason"] == "not_found";
        assert!(disconnected || answer["result"]["calls"] == json!({"to_answer": 0, "made": 0}), "{answer}");
    }
}

/// Collects all calls, then answers some in another order. Returns the node unless a call disconnects it.
fn serve(mut node: RpcClient, calls: usize, seed: usize) -> Option<RpcClient> {
    let mut requests: Vec<_> = (0..calls).map(|_| node.next_message()).collect();
    requests
        .sort_by_key(|request| request["id"].as_u64().unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15 + 2 * seed as u64));
    let answered = requests.iter().filter(|request| request["params"]["action"] == ANSWER);
    answered.for_each(|request| node.respond(request, request["params"]["text"].clone()));
    node.call("gateway.ping", json!({}));
    requests.iter().all(|request| request["params"]["action"] != DISCONNECT).then_some(node)
}

fn call_all(mut caller: RpcClient, number: usize, each: usize, names: &[String]) {
    let mut calls = Vec::new();
    for round in 0..each {
        for (index, name) in names.iter().enumerate() {
            let action = match (index % 10, round) {
                (0, 5..) => DISCONNECT,
                (_, 8) => IGNORE,
                _ => ANSWER,
            };
            let text = format!("{number} {round} {index}");
            let timeout = if action == IGNORE { 5 } else { 3600 };
            let params = json!({"action": action, "text": text});
            let call = json!({"target": format!("node:{name}"), "method": "x", "params": params, "timeout": timeout});
            calls.push((caller.request("node.invoke", call), action, text));
        }
    }
    for (id, action, text) in calls {
        let answer = caller.response(id);
        match action {
            ANSWER => assert_eq!(answer["result"], text, "{answer}"),
            IGNORE => assert!(matches!(error_reason(&answer), (-32006, _) | (-32007, _)), "{answer}"),
            _ => assert_eq!(error_reason(&answer), (-32007, "node_disconnected")),
        }
    }
    assert_eq!(caller.pending_messages(), [] as [Value; 0]);
}

#[test]
fn node_that_stops_reading_does_not_affect_other_nodes() {
    let gateway = TestGateway::start(
        CREDENTIALS,
        "[limits]\nwrite_timeout = \"1h\"\noutbox_max_messages = 5000\n[calls]\ntimeout = \"1h\"",
    );
    let (mut alice, stalled) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    let (mut bob, mut node) = (gateway.connect("bob"), gateway.connect("hall-pi"));
    let padding = "x".repeat(20_000);
    let ids: Vec<_> = (0..1_000).map(|_| alice.invoke(json!({"params": [padding]}))).collect();
    for _ in 0..50 {
        let id = bob.request("node.invoke", json!({"target": "node:hall-pi", "method": "x"}));
        node.respond_next(json!(1));
        assert_eq!(bob.response(id)["result"], 1);
    }
    // The calls that socket and outbox hold wait until the node is closed; the others fail at once.
    let done = alice.call("clients.disconnect", json!({"presence_key": "node:kitchen-pi"}));
    assert_eq!(done["disconnected"], 1);
    let answers: Vec<_> = ids.into_iter().map(|id| alice.response(id)).collect();
    let count = |wanted: &str| answers.iter().filter(|answer| error_reason(answer).1 == wanted).count();
    let [waited, rejected] = ["node_disconnected", "node_outbox_full"].map(count);
    assert!(waited > 100 && waited + rejected == 1_000, "{waited} {rejected}");
    assert_eq!(alice.call("gateway.ping", json!({})), "pong");
    drop(stalled);
}
