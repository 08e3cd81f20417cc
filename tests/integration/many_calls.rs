//! Thousands of calls at once.

use crate::calls::{WHO, ended, invoke, reason};
use crate::common::fleet::{Fleet, Peer};
use serde_json::{Value, json};
use std::thread;

/// What a node is to do with a call.
const FATES: [&str; 3] = ["answer", "never", "leave"];

#[test]
fn ten_thousand_calls_over_a_hundred_nodes_end_once_each_with_their_own_answer() {
    const NODES: usize = 100;
    const CALLERS: usize = 10;
    const EACH: usize = 10;
    let names: Vec<_> = (0..NODES).map(|index| format!("n{index}")).collect();
    let mut who: Vec<_> = names.iter().map(|name| (name.as_str(), "node", "")).collect();
    who.push(("alice", "operator", "*"));
    let fleet = Fleet::start(&who, "");
    let nodes: Vec<_> = names.iter().map(|name| fleet.connect(name)).collect();
    thread::scope(|scope| {
        let nodes = nodes.into_iter().enumerate();
        let nodes: Vec<_> =
            nodes.map(|(index, node)| scope.spawn(move || serve(node, CALLERS * EACH, index))).collect();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (fleet, names) = (&fleet, &names);
                scope.spawn(move || call_all(fleet.connect("alice"), caller, EACH, names))
            })
            .collect();
        let _nodes: Vec<_> = nodes.into_iter().map(|node| node.join().unwrap()).collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
    let calls = ended(&fleet);
    let count = |label: &str| calls["ended"][label].as_u64().unwrap();
    assert_eq!(calls["started"], NODES * CALLERS * EACH);
    assert_eq!(count("answered") + count("timeout") + count("node_disconnected"), (NODES * CALLERS * EACH) as u64);
    let mut alice = fleet.connect("alice");
    for client in alice.call("clients.list", json!({"limit": 1000}))["clients"].as_array().unwrap() {
        let id = alice.ask("clients.get", json!({"conn_id": client["conn_id"]}));
        // Who has just left isn't found.
        let answer = alice.answer(id);
        let left = answer["error"]["data"]["reason"] == "not_found";
        assert!(left || answer["result"]["calls"] == json!({"to_answer": 0, "made": 0}), "{answer}");
    }
}

/// Collects all calls, answers some of them in another order, and leaves if it is to.
fn serve(mut node: Peer, calls: usize, seed: usize) -> Option<Peer> {
    let mut requests: Vec<_> = (0..calls).map(|_| node.next()).collect();
    requests
        .sort_by_key(|request| request["id"].as_u64().unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15 + 2 * seed as u64));
    let answered = requests.iter().filter(|request| request["params"]["fate"] == FATES[0]);
    answered.for_each(|request| node.respond(request, request["params"]["text"].clone()));
    node.call("gateway.ping", json!({}));
    requests.iter().all(|request| request["params"]["fate"] != FATES[2]).then_some(node)
}

fn call_all(mut caller: Peer, number: usize, each: usize, names: &[String]) {
    let mut asked = Vec::new();
    for round in 0..each {
        for (index, name) in names.iter().enumerate() {
            let fate = match (index % 10, round) {
                (0, 5..) => FATES[2],
                (_, 8) => FATES[1],
                _ => FATES[0],
            };
            let text = format!("{number} {round} {index}");
            // Those that are answered have all the time there is.
            let timeout = if fate == FATES[1] { 5 } else { 3600 };
            let params = json!({"fate": fate, "text": text});
            let call = json!({"target": format!("node:{name}"), "method": "x", "params": params, "timeout": timeout});
            asked.push((caller.ask("node.invoke", call), fate, text));
        }
    }
    for (id, fate, text) in asked {
        let answer = caller.answer(id);
        match fate {
            "answer" => assert_eq!(answer["result"], text, "{answer}"),
            "never" => assert!(matches!(reason(&answer), (-32006, _) | (-32007, _)), "{answer}"),
            _ => assert_eq!(reason(&answer), (-32007, "node_disconnected")),
        }
    }
    assert_eq!(caller.all_so_far(), [] as [Value; 0]);
}

#[test]
fn a_node_that_stops_reading_costs_nobody_else() {
    let fleet =
        Fleet::start(WHO, "[limits]\nwrite_timeout = \"1h\"\noutbox_max_messages = 5000\n[calls]\ntimeout = \"1h\"");
    let (mut alice, stuck) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    let (mut bob, mut node) = (fleet.connect("bob"), fleet.connect("hall-pi"));
    let padding = "x".repeat(20_000);
    let ids: Vec<_> = (0..1_000).map(|_| invoke(&mut alice, json!({"params": [padding]}))).collect();
    for _ in 0..50 {
        let id = bob.ask("node.invoke", json!({"target": "node:hall-pi", "method": "x"}));
        let request = node.next();
        node.respond(&request, json!(1));
        assert_eq!(bob.answer(id)["result"], 1);
    }
    // As many as socket and outbox hold wait until it ends; the others are refused at once.
    let done = alice.call("clients.disconnect", json!({"presence_key": "node:kitchen-pi"}));
    assert_eq!(done["disconnected"], 1);
    let answers: Vec<_> = ids.into_iter().map(|id| alice.answer(id)).collect();
    let count = |wanted: &str| answers.iter().filter(|answer| reason(answer).1 == wanted).count();
    let [waited, refused] = ["node_disconnected", "node_outbox_full"].map(count);
    assert!(waited > 100 && waited + refused == 1_000, "{waited} {refused}");
    assert_eq!(alice.call("gateway.ping", json!({})), "pong");
    drop(stuck);
}
