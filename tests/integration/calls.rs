//! Calls to nodes, and every way in which one ends.

use crate::common::fleet::{Fleet, Peer};
use crate::common::frames::{FIN, TEXT, frame};
use serde_json::{Value, json};
use std::io::Write;

pub const WHO: &[(&str, &str, &str)] = &[
    ("alice", "operator", "*"),
    ("bob", "operator", "nodes:invoke"),
    ("kitchen-pi", "node", ""),
    ("hall-pi", "node", ""),
];

pub fn invoke(caller: &mut Peer, params: Value) -> u64 {
    let mut call = json!({"target": "node:kitchen-pi", "method": "light.set"});
    call.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
    caller.ask("node.invoke", call)
}

pub fn reason(answer: &Value) -> (i64, &str) {
    (answer["error"]["code"].as_i64().unwrap(), answer["error"]["data"]["reason"].as_str().unwrap())
}

/// Waits until no call is under way, and returns how they ended.
pub fn ended(fleet: &Fleet) -> Value {
    fleet.gateway.wait_for_status("no call is under way", |status| status["calls"]["in_flight"] == 0)["calls"].take()
}

#[test]
fn params_results_and_errors_pass_byte_for_byte() {
    let fleet = Fleet::start(WHO, "");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    let params = r#"{"b":1.50, "a":["\u00e9",1e3], "a":null}"#;
    let call = |id: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"node.invoke","params":{{"method":"light\u002eset","target":"node:kitchen-pi","params":{params}}}}}"#
        )
    };
    for (id, answer) in [
        (r#""x\u0041""#, r#""result": {"z":[1.0 , 2],"a":1,"a":2}"#),
        ("7", r#""error" : {"code":-1,"message":"no \u00e9","data":{"x" : 1}}"#),
        ("null", r#""result":null"#),
    ] {
        alice.client.send(&call(id));
        let request = node.client.receive();
        let number = request.strip_prefix(r#"{"jsonrpc":"2.0","id":"#).and_then(|rest| rest.split(',').next()).unwrap();
        assert_eq!(
            request,
            format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"light\u002eset","params":{params}}}"#)
        );
        node.client.send(&format!(r#"{{"id":{number}, {answer} ,"jsonrpc":"2.0"}}"#));
        let (name, value) = answer.split_once(':').unwrap();
        let (name, value) = (name.trim(), value.trim());
        assert_eq!(alice.client.receive(), format!(r#"{{"jsonrpc":"2.0",{name}:{value},"id":{id}}}"#));
    }
    let calls = ended(&fleet);
    assert_eq!(
        (&calls["started"], &calls["ended"]["answered"], &calls["ended"]["node_error"]),
        (&json!(3), &json!(2), &json!(1))
    );
}

#[test]
fn an_answer_counts_once_and_only_from_the_node_that_was_asked() {
    let fleet = Fleet::start(WHO, "");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    let (mut other, mut bob) = (fleet.connect("hall-pi"), fleet.connect("bob"));
    let id = invoke(&mut alice, json!({}));
    let request = node.next();
    // By another node, by an operator, under other ids.
    other.respond(&request, json!("forged"));
    bob.respond(&request, json!("forged"));
    for wrong in [json!(999), json!("1"), json!(1.5), json!(null)] {
        node.respond(&json!({"id": wrong}), json!("lost"));
    }
    other.call("gateway.ping", json!({}));
    bob.call("gateway.ping", json!({}));
    node.respond(&request, json!("first"));
    node.respond(&request, json!("second"));
    assert_eq!(alice.answer(id)["result"], "first");
    node.call("gateway.ping", json!({}));
    alice.call("gateway.ping", json!({}));
    let calls = ended(&fleet);
    assert_eq!((&calls["answers_ignored"], &calls["ended"]["answered"]), (&json!(7), &json!(1)));
}

#[test]
fn without_an_answer_the_time_is_over_and_a_late_one_is_ignored() {
    let fleet = Fleet::start(WHO, "[calls]\ntimeout = \"50ms\"");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    let (short, own) = (invoke(&mut alice, json!({"timeout": 0.001})), invoke(&mut alice, json!({})));
    for id in [short, own] {
        assert_eq!(reason(&alice.answer(id)), (-32006, "timeout"));
        let request = node.next();
        node.respond(&request, json!("late"));
    }
    node.call("gateway.ping", json!({}));
    alice.call("gateway.ping", json!({}));
    let calls = ended(&fleet);
    assert_eq!((&calls["answers_ignored"], &calls["ended"]["timeout"]), (&json!(2), &json!(2)));
}

#[test]
fn a_node_that_is_not_there_or_goes_away_is_told() {
    let fleet = Fleet::start(WHO, "");
    let mut alice = fleet.connect("alice");
    let own = alice.conn_id.clone();
    for target in
        ["node:kitchen-pi", "node:nobody", "x", "operator:alice", &own, "00000000-0000-4000-8000-000000000000"]
    {
        let id = invoke(&mut alice, json!({"target": target}));
        assert_eq!(reason(&alice.answer(id)), (-32004, "not_found"), "{target}");
    }
    let mut node = fleet.connect("kitchen-pi");
    let by_id = node.conn_id.clone();
    let ids = [invoke(&mut alice, json!({})), invoke(&mut alice, json!({"target": by_id}))];
    node.next();
    node.next();
    drop(node);
    for id in ids {
        assert_eq!(reason(&alice.answer(id)), (-32007, "node_disconnected"));
    }
    // One that is closed and doesn't go counts as gone at once.
    let stuck = fleet.connect("kitchen-pi");
    let id = invoke(&mut alice, json!({"timeout": 3600}));
    alice.call("clients.disconnect", json!({"conn_id": stuck.conn_id}));
    assert_eq!(reason(&alice.answer(id)), (-32007, "node_disconnected"));
    // A replaced connection's calls end too; the newer one gets the next.
    let mut older = fleet.connect("kitchen-pi");
    let id = invoke(&mut alice, json!({}));
    older.next();
    let mut newer = fleet.connect("kitchen-pi");
    assert_eq!(reason(&alice.answer(id)), (-32007, "node_disconnected"));
    let id = invoke(&mut alice, json!({}));
    let request = newer.next();
    newer.respond(&request, json!(true));
    assert_eq!(alice.answer(id)["result"], true);
    ended(&fleet);
}

#[test]
fn an_answer_that_is_none_is_told() {
    let fleet = Fleet::start(WHO, "");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    for members in [
        r#""result":1,"error":{"code":1,"message":"x"}"#,
        r#""error":"no""#,
        r#""error":null"#,
        r#""error":{}"#,
        r#""error":{"code":"1","message":"x"}"#,
        r#""params":[]"#,
    ] {
        let id = invoke(&mut alice, json!({}));
        let request = node.next();
        node.client.send(&format!(r#"{{"jsonrpc":"2.0","id":{},{members}}}"#, request["id"]));
        assert_eq!(reason(&alice.answer(id)), (-32009, "invalid_answer"), "{members}");
    }
    let id = invoke(&mut alice, json!({}));
    let request = node.next();
    node.client.send(&format!(r#"{{"jsonrpc":"1.0","id":{},"result":1}}"#, request["id"]));
    assert_eq!(reason(&alice.answer(id)), (-32009, "invalid_answer"));
}

#[test]
fn what_is_too_much_says_which_bound() {
    let fleet = Fleet::start(WHO, "[calls]\nmax_per_caller = 3\nmax_per_node = 4");
    let (mut alice, mut bob, mut node) = (fleet.connect("alice"), fleet.connect("bob"), fleet.connect("kitchen-pi"));
    let _other = fleet.connect("hall-pi");
    let ids: Vec<_> = (0..3).map(|_| invoke(&mut alice, json!({}))).collect();
    let refused = invoke(&mut alice, json!({"target": "node:hall-pi"}));
    let answer = alice.answer(refused);
    assert_eq!((reason(&answer), &answer["error"]["data"]["most"]), ((-32005, "caller_busy"), &json!(3)));
    let last = invoke(&mut bob, json!({}));
    let refused = invoke(&mut bob, json!({}));
    let answer = bob.answer(refused);
    assert_eq!((reason(&answer), &answer["error"]["data"]["most"]), ((-32005, "node_busy"), &json!(4)));
    for _ in 0..4 {
        let request = node.next();
        node.respond(&request, json!("done"));
    }
    assert!(ids.into_iter().all(|id| alice.answer(id)["result"] == "done"));
    assert_eq!(bob.answer(last)["result"], "done");
    // There is room again.
    let id = invoke(&mut bob, json!({}));
    let request = node.next();
    node.respond(&request, json!("again"));
    assert_eq!(bob.answer(id)["result"], "again");
}

#[test]
fn a_caller_that_goes_away_leaves_nothing_behind() {
    let fleet = Fleet::start(WHO, "[calls]\nmax_per_node = 5");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    for _ in 0..3 {
        let mut bob = fleet.connect("bob");
        (0..5).for_each(|_| _ = invoke(&mut bob, json!({})));
        let requests: Vec<_> = (0..5).map(|_| node.next()).collect();
        drop(bob);
        ended(&fleet);
        requests.iter().for_each(|request| node.respond(request, json!("late")));
    }
    let id = invoke(&mut alice, json!({}));
    let request = node.next();
    node.respond(&request, json!(1));
    assert_eq!(alice.answer(id)["result"], 1);
    let calls = ended(&fleet);
    assert_eq!((&calls["ended"]["cancelled"], &calls["answers_ignored"]), (&json!(15), &json!(15)));
    let node = alice.call("clients.get", json!({"conn_id": node.conn_id}));
    assert_eq!(node["calls"], json!({"to_answer": 0, "made": 0}));
}

#[test]
fn answers_to_a_batch_come_together() {
    let fleet = Fleet::start(WHO, "");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    let call = |id: Option<u64>| {
        let mut call =
            json!({"jsonrpc": "2.0", "method": "node.invoke", "params": {"target": "node:kitchen-pi", "method": "x"}});
        if let Some(id) = id {
            call["id"] = id.into();
        }
        call
    };
    let ping = json!({"jsonrpc": "2.0", "id": 9, "method": "gateway.ping"});
    alice.client.send(&json!([call(Some(1)), ping, call(None), call(Some(2)), 1]).to_string());
    let requests: Vec<_> = (0..3).map(|_| node.next()).collect();
    for (index, request) in requests.iter().enumerate().rev() {
        node.respond(request, json!(index));
    }
    let answers: Vec<Value> = serde_json::from_str(&alice.client.receive()).unwrap();
    let result = |id: Value| answers.iter().find(|answer| answer["id"] == id).unwrap().clone();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert_eq!((&result(json!(1))["result"], &result(json!(2))["result"]), (&json!(0), &json!(2)));
    assert_eq!((&result(json!(9))["result"], &result(json!(null))["error"]["code"]), (&json!("pong"), &json!(-32600)));
    // Of notifications alone there is no answer at all.
    alice.client.send(&json!([call(None)]).to_string());
    let request = node.next();
    node.respond(&request, json!(1));
    node.call("gateway.ping", json!({}));
    assert_eq!(alice.call("gateway.ping", json!({})), "pong");
}

#[test]
fn what_is_kept_for_calls_is_bounded() {
    let fleet = Fleet::start(WHO, "[limits]\nmax_message_bytes = 100000\noutbox_max_bytes = 400000");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    let call = |id: &str| json!({"jsonrpc": "2.0", "id": id, "method": "node.invoke", "params": {"target": "node:kitchen-pi", "method": "x"}});
    alice.client.send(&call(&"x".repeat(300)).to_string());
    let refused: Value = serde_json::from_str(&alice.client.receive()).unwrap();
    assert_eq!(refused["error"]["data"]["member"], "id");
    alice.client.send(&json!(["1", "2", "3", "4"].map(call)).to_string());
    let text = "x".repeat(90_000);
    for _ in 0..4 {
        let request = node.next();
        node.respond(&request, json!(text));
    }
    let answers: Vec<Value> = serde_json::from_str(&alice.client.receive()).unwrap();
    let given = answers.iter().filter(|answer| answer["result"] == text).count();
    let refused = answers.iter().filter(|answer| answer["error"]["data"]["reason"] == "answer_too_large").count();
    assert_eq!((answers.len(), given, refused), (4, 2, 2));
    // Nor do several batches together, for as long as their nodes take.
    let text = "x".repeat(45_000);
    let echo = json!({"jsonrpc": "2.0", "id": 0, "method": "gateway.echo", "params": [text]});
    let answers = |alice: &mut Peer| serde_json::from_str::<Vec<Value>>(&alice.client.receive()).unwrap();
    let waiting = ["1", "2"].map(|id| {
        alice.client.send(&json!([echo, echo, call(id)]).to_string());
        node.next()
    });
    alice.client.send(&json!([echo, call(&"x".repeat(300))]).to_string());
    let refused = answers(&mut alice);
    assert_eq!((&refused[0]["error"]["data"]["reason"], &refused[1]["id"]), (&json!("answer_too_large"), &Value::Null));
    for request in &waiting {
        node.respond(request, json!(1));
        assert!(answers(&mut alice).iter().all(|answer| answer["result"] == 1 || answer["result"][0] == text));
    }
    alice.client.send(&json!([echo, echo]).to_string());
    assert!(answers(&mut alice).iter().all(|answer| answer["result"][0] == text));
}

#[test]
fn a_drain_answers_what_is_under_way() {
    let fleet = Fleet::start(WHO, "");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    let ids: Vec<_> = (0..100).map(|_| invoke(&mut alice, json!({}))).collect();
    (0..100).for_each(|_| drop(node.next()));
    fleet.gateway.signal("TERM");
    for id in ids {
        assert_eq!(reason(&alice.answer(id)), (-32008, "draining"));
    }
    assert_eq!(alice.client.closed(), (1012, "draining".to_owned()));
}

#[test]
fn a_node_answers_in_batches_too() {
    let fleet = Fleet::start(WHO, "");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    let ids = [invoke(&mut alice, json!({})), invoke(&mut alice, json!({}))];
    let answers = [node.next(), node.next()].map(|request| json!({"jsonrpc": "2.0", "id": request["id"], "result": 5}));
    let text = json!(answers).to_string();
    node.client.socket.get_mut().write_all(&frame(FIN | TEXT, text.as_bytes())).unwrap();
    assert!(ids.into_iter().all(|id| alice.answer(id)["result"] == 5));
}
