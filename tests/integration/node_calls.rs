//! `node.invoke`: what passes between caller and node, and how calls end.

use crate::common::test_gateway::{TestGateway, error_reason};
use serde_json::{Value, json};

const CREDENTIALS: &[(&str, &str, &str)] = &[
    ("alice", "operator", "*"),
    ("bob", "operator", "nodes:invoke"),
    ("kitchen-pi", "node", ""),
    ("hall-pi", "node", ""),
];

#[test]
fn params_results_and_errors_are_passed_on_byte_for_byte() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
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
    let calls = gateway.wait_for_calls();
    assert_eq!(
        (&calls["started"], &calls["ended"]["answered"], &calls["ended"]["node_error"]),
        (&json!(3), &json!(2), &json!(1))
    );
}

#[test]
fn only_the_first_answer_of_the_called_node_counts() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    let (mut other, mut bob) = (gateway.connect("hall-pi"), gateway.connect("bob"));
    let id = alice.invoke(json!({}));
    let request = node.next_message();
    // Answers of another node and of an operator, then answers with other ids.
    other.respond(&request, json!("forged"));
    bob.respond(&request, json!("forged"));
    for wrong in [json!(999), json!("999"), json!(1.5), json!(null)] {
        node.respond(&json!({"id": wrong}), json!("lost"));
    }
    other.call("gateway.ping", json!({}));
    bob.call("gateway.ping", json!({}));
    node.respond(&request, json!("first"));
    node.respond(&request, json!("second"));
    assert_eq!(alice.response(id)["result"], "first");
    node.call("gateway.ping", json!({}));
    alice.call("gateway.ping", json!({}));
    let calls = gateway.wait_for_calls();
    assert_eq!((&calls["answers_ignored"], &calls["ended"]["answered"]), (&json!(7), &json!(1)));
}

#[test]
fn node_call_times_out_and_late_answer_is_ignored() {
    let gateway = TestGateway::start(CREDENTIALS, "[calls]\ntimeout = \"50ms\"");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    let (short, own) = (alice.invoke(json!({"timeout": 0.001})), alice.invoke(json!({})));
    for id in [short, own] {
        alice.assert_error(id, -32006, "timeout");
        node.respond_next(json!("late"));
    }
    node.call("gateway.ping", json!({}));
    alice.call("gateway.ping", json!({}));
    let calls = gateway.wait_for_calls();
    assert_eq!((&calls["answers_ignored"], &calls["ended"]["timeout"]), (&json!(2), &json!(2)));
}

#[test]
fn missing_or_disconnected_node_fails_the_call() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut alice = gateway.connect("alice");
    let own = alice.conn_id.clone();
    for target in ["node:kitchen-pi", "node:none", "x", "operator:alice", &own, "00000000-0000-4000-8000-000000000000"]
    {
        let id = alice.invoke(json!({"target": target}));
        alice.assert_error(id, -32004, "not_found");
    }
    let mut node = gateway.connect("kitchen-pi");
    let by_id = node.conn_id.clone();
    let ids = [alice.invoke(json!({})), alice.invoke(json!({"target": by_id}))];
    node.next_message();
    node.next_message();
    drop(node);
    for id in ids {
        alice.assert_error(id, -32007, "node_disconnected");
    }
    // A node counts as disconnected as soon as it is being closed.
    let closing = gateway.connect("kitchen-pi");
    let id = alice.invoke(json!({"timeout": 3600}));
    alice.call("clients.disconnect", json!({"conn_id": closing.conn_id}));
    alice.assert_error(id, -32007, "node_disconnected");
    // The calls of a replaced connection fail; its successor receives the next call.
    let mut older = gateway.connect("kitchen-pi");
    let id = alice.invoke(json!({}));
    older.next_message();
    let mut newer = gateway.connect("kitchen-pi");
    alice.assert_error(id, -32007, "node_disconnected");
    let id = alice.invoke(json!({}));
    newer.respond_next(json!(true));
    assert_eq!(alice.response(id)["result"], true);
    gateway.wait_for_calls();
}

#[test]
fn invalid_node_answer_fails_the_call() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    for members in [
        r#""result":1,"error":{"code":1,"message":"x"}"#,
        r#""error":"no""#,
        r#""result":"\ud800""#,
        r#""result":{"\udc00":1}"#,
        r#""error":{"code":1,"message":"x","data":"\ud800\ud800"}"#,
        &format!(r#""result":{}{}"#, "[".repeat(200), "]".repeat(200)),
        r#""error":null"#,
        r#""error":{}"#,
        r#""error":{"code":"1","message":"x"}"#,
        r#""params":[]"#,
    ] {
        let id = alice.invoke(json!({}));
        let request = node.next_message();
        node.client.send(&format!(r#"{{"jsonrpc":"2.0","id":{},{members}}}"#, request["id"]));
        alice.assert_error(id, -32009, "invalid_answer");
    }
    let id = alice.invoke(json!({}));
    let request = node.next_message();
    node.client.send(&format!(r#"{{"jsonrpc":"1.0","id":{},"result":1}}"#, request["id"]));
    alice.assert_error(id, -32009, "invalid_answer");
}

/// Libraries write numbers, unused members and escapes in several ways.
#[test]
fn answer_is_recognized_however_its_library_writes_it() {
    let gateway = TestGateway::start(CREDENTIALS, "log_level = \"debug\"\n");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    let failed = json!({"code": 7, "message": "x"});
    for (answer, result) in [
        (r#"{"jsonrpc":"2\u002e0","id":ID,"result":1}"#, Ok(json!(1))),
        (r#"{"jsonrpc":"2.0","id":ID.0,"result":[]}"#, Ok(json!([]))),
        (r#"{"jsonrpc":"2.0","id":ID0e-1,"result":{}}"#, Ok(json!({}))),
        (r#"{"jsonrpc":"2.0","id":"ID","result":"s"}"#, Ok(json!("s"))),
        (r#"{"jsonrpc":"2.0","id":ID,"result":2,"error":null}"#, Ok(json!(2))),
        (r#"{"jsonrpc":"2.0","id":ID,"result":null,"error":null}"#, Ok(Value::Null)),
        (r#"{"jsonrpc":"2.0","id":ID,"result":null,"error":{"code":7,"message":"x"}}"#, Err(&failed)),
        (r#"{"jsonrpc":"2.0","id":ID,"result":"\ud83d\ude00"}"#, Ok(json!("😀"))),
    ] {
        let call = alice.invoke(json!({}));
        let id = node.next_message()["id"].to_string();
        node.client.send(&answer.replace("ID", &id));
        let response = alice.response(call);
        assert_eq!(result.as_ref().ok(), response.get("result"), "{answer}");
        assert_eq!(result.err(), response.get("error"), "{answer}");
    }
    node.client.send(r#"{"jsonrpc":"2.0","id":1e9,"result":1}"#);
    let line = gateway.wait_for_line("the ignored answer", |line| line.contains(" response ignored"));
    assert!(line.ends_with(&format!("conn_id={} id=1000000000", node.conn_id)), "{line}");
}

#[test]
fn target_without_its_role_gets_a_hint() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut alice = gateway.connect("alice");
    let call = alice.invoke(json!({"target": "kitchen-pi"}));
    let error = alice.assert_error(call, -32004, "not_found");
    assert_eq!(error["message"], "no such node (did you mean node:kitchen-pi?)");
}

#[test]
fn calls_above_a_limit_are_busy_errors_with_the_limit() {
    let gateway = TestGateway::start(CREDENTIALS, "[calls]\nmax_per_caller = 3\nmax_per_node = 4");
    let (mut alice, mut bob, mut node) =
        (gateway.connect("alice"), gateway.connect("bob"), gateway.connect("kitchen-pi"));
    let _other = gateway.connect("hall-pi");
    let ids: Vec<_> = (0..3).map(|_| alice.invoke(json!({}))).collect();
    let rejected = alice.invoke(json!({"target": "node:hall-pi"}));
    assert_eq!(alice.assert_error(rejected, -32005, "caller_busy")["data"]["most"], 3);
    let last = bob.invoke(json!({}));
    let rejected = bob.invoke(json!({}));
    assert_eq!(bob.assert_error(rejected, -32005, "node_busy")["data"]["most"], 4);
    for _ in 0..4 {
        node.respond_next(json!("done"));
    }
    assert!(ids.into_iter().all(|id| alice.response(id)["result"] == "done"));
    assert_eq!(bob.response(last)["result"], "done");
    // Ended calls no longer count.
    let id = bob.invoke(json!({}));
    node.respond_next(json!("again"));
    assert_eq!(bob.response(id)["result"], "again");
}

#[test]
fn one_caller_leaves_room_at_a_node_for_others() {
    let gateway = TestGateway::start(CREDENTIALS, "[calls]\nmax_per_node = 50");
    let (mut alice, mut bob, mut node) =
        (gateway.connect("alice"), gateway.connect("bob"), gateway.connect("kitchen-pi"));
    let ids: Vec<_> = (0..41).map(|_| alice.invoke(json!({}))).collect();
    assert_eq!(alice.assert_error(ids[40], -32005, "node_busy")["data"]["most"], 50);
    let others: Vec<_> = (0..10).map(|_| bob.invoke(json!({}))).collect();
    bob.assert_error(others[9], -32005, "node_busy");
    // While bob has calls, alice's share is smaller.
    for _ in 0..2 {
        node.respond_next(json!("done"));
    }
    assert_eq!(
        (&alice.response(ids[0])["result"], &alice.response(ids[1])["result"]),
        (&json!("done"), &json!("done"))
    );
    let rejected = alice.invoke(json!({}));
    alice.assert_error(rejected, -32005, "node_busy");
    for _ in 2..48 {
        node.respond_next(json!("done"));
    }
    assert_eq!(bob.response(others[7])["result"], "done");
}

#[test]
fn calls_of_a_disconnected_caller_are_cancelled() {
    let gateway = TestGateway::start(CREDENTIALS, "[calls]\nmax_per_node = 6");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    for _ in 0..3 {
        let mut bob = gateway.connect("bob");
        (0..5).for_each(|_| _ = bob.invoke(json!({})));
        let requests: Vec<_> = (0..5).map(|_| node.next_message()).collect();
        drop(bob);
        gateway.wait_for_calls();
        requests.iter().for_each(|request| node.respond(request, json!("late")));
    }
    let id = alice.invoke(json!({}));
    node.respond_next(json!(1));
    assert_eq!(alice.response(id)["result"], 1);
    let calls = gateway.wait_for_calls();
    assert_eq!((&calls["ended"]["cancelled"], &calls["answers_ignored"]), (&json!(15), &json!(15)));
    let node = alice.call("clients.get", json!({"conn_id": node.conn_id}));
    assert_eq!(node["calls"], json!({"to_answer": 0, "made": 0}));
}

#[test]
fn batch_with_node_calls_gets_one_response() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
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
    let requests: Vec<_> = (0..3).map(|_| node.next_message()).collect();
    for (index, request) in requests.iter().enumerate().rev() {
        node.respond(request, json!(index));
    }
    let answers: Vec<Value> = serde_json::from_str(&alice.client.receive()).unwrap();
    let result = |id: Value| answers.iter().find(|answer| answer["id"] == id).unwrap().clone();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert_eq!((&result(json!(1))["result"], &result(json!(2))["result"]), (&json!(0), &json!(2)));
    assert_eq!((&result(json!(9))["result"], &result(json!(null))["error"]["code"]), (&json!("pong"), &json!(-32600)));
    // A batch of notifications has no response.
    alice.client.send(&json!([call(None)]).to_string());
    node.respond_next(json!(1));
    node.call("gateway.ping", json!({}));
    assert!(alice.pending_messages().is_empty());
}

#[test]
fn response_to_a_batch_of_node_calls_is_bounded() {
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nmax_message_bytes = 100000\noutbox_max_bytes = 400000");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    let call = |id: &str| json!({"jsonrpc": "2.0", "id": id, "method": "node.invoke", "params": {"target": "node:kitchen-pi", "method": "x"}});
    alice.client.send(&call(&"x".repeat(300)).to_string());
    let refused: Value = serde_json::from_str(&alice.client.receive()).unwrap();
    assert_eq!(refused["error"]["data"]["member"], "id");
    // The results of a batch may take 3/8 of outbox_max_bytes, here 150,000: two fit, errors replace the others.
    alice.client.send(&json!(["1", "2", "3", "4"].map(call)).to_string());
    let text = "x".repeat(60_000);
    for _ in 0..4 {
        node.respond_next(json!(text));
    }
    let responses: Vec<Value> = serde_json::from_str(&alice.client.receive()).unwrap();
    let results = responses.iter().filter(|response| response["result"] == text).count();
    let replaced =
        responses.iter().filter(|response| response["error"]["data"]["reason"] == "answer_too_large").count();
    assert_eq!((responses.len(), results, replaced), (4, 2, 2));
}

#[test]
fn drain_fails_calls_in_flight() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    let ids: Vec<_> = (0..100).map(|_| alice.invoke(json!({}))).collect();
    (0..100).for_each(|_| drop(node.next_message()));
    gateway.signal("TERM");
    for id in ids {
        alice.assert_error(id, -32008, "draining");
    }
    assert_eq!(alice.client.wait_for_close(), (1012, "draining".to_owned()));
}

#[test]
fn node_that_stops_reading_does_not_affect_other_nodes() {
    let gateway = TestGateway::start(CREDENTIALS, "[limits]\nwrite_timeout = \"1h\"\n[calls]\ntimeout = \"1h\"");
    let (mut alice, stalled) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    let (mut bob, mut node) = (gateway.connect("bob"), gateway.connect("hall-pi"));
    let padding = "x".repeat(20_000);
    let ids: Vec<_> = (0..1_000).map(|_| alice.invoke(json!({"params": [padding]}))).collect();
    for _ in 0..50 {
        let id = bob.request("node.invoke", json!({"target": "node:hall-pi", "method": "x"}));
        node.respond_next(json!(1));
        assert_eq!(bob.response(id)["result"], 1);
    }
    // Calls that fit into the socket buffers and the outbox wait until the node is closed; the others fail at once.
    let done = alice.call("clients.disconnect", json!({"presence_key": "node:kitchen-pi"}));
    assert_eq!(done["disconnected"], 1);
    let answers: Vec<_> = ids.into_iter().map(|id| alice.response(id)).collect();
    let count = |wanted: &str| answers.iter().filter(|answer| error_reason(answer).1 == wanted).count();
    let [waited, rejected] = ["node_disconnected", "node_outbox_full"].map(count);
    assert!(waited > 100 && waited + rejected == 1_000, "{waited} {rejected}");
    assert_eq!(alice.call("gateway.ping", json!({})), "pong");
    drop(stalled);
}
