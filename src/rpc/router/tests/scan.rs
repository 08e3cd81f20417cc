//! Lists of many clients, and what else is done with many.

use super::*;
use crate::auth::Role;
use crate::budget;
use crate::registry::Registration;
use crate::rpc::http_call::HttpCall;
use std::collections::HashSet;
use tokio::task::{consume_budget, yield_now};

/// So many of a few keys.
fn crowd(router: &Router, count: usize) -> Vec<Registration> {
    let keys: Vec<_> = (0..7).map(|key| Arc::new(AuthInfo::new(&format!("n{key}"), Role::Node, []))).collect();
    let client = |index: usize| GatewayClient::unconnected(keys[index * 31 % keys.len()].clone());
    (0..count).map(|index| router.state.registry.on_connect(client(index))).collect()
}

/// Ends this task's turn.
async fn end_turn() {
    while !budget::is_spent() {
        consume_budget().await;
    }
}

fn params(value: Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn result_of(outcome: Outcome<'_>) -> Value {
    let Outcome::Result(result) = outcome else { panic!("{outcome:?}") };
    serde_json::from_str(&result).unwrap()
}

/// Outside a task, where no turn is ever over.
fn call(router: &Router, method: &str, value: Value) -> Value {
    match router.call(&Arc::new(AuthInfo::anonymous()), method, &params(value)) {
        HttpCall::Done(outcome) => result_of(outcome),
        _ => panic!("{method} isn't done"),
    }
}

#[test]
fn pages_have_everybody_once_and_in_order() {
    let router = router();
    let crowd = crowd(&router, 2_500);
    let key = |client: &Registration| (client.auth.presence_key.clone(), client.conn_id);
    let age = |client: &Registration| (client.connected_at.nanos(), client.conn_id);
    let ids = |clients: Vec<&Registration>| clients.iter().map(|client| client.conn_id.to_string()).collect::<Vec<_>>();
    let sorted = |sort: &str| {
        let mut clients: Vec<_> = crowd.iter().collect();
        match sort {
            "presence_key" => clients.sort_by_key(|client| key(client)),
            "oldest" => clients.sort_by_key(|client| age(client)),
            _ => clients.sort_by(|a, b| (age(b).0, age(a).1).cmp(&(age(a).0, age(b).1))),
        }
        ids(clients)
    };
    for sort in ["oldest", "newest", "presence_key"] {
        for limit in [1000, 333, 2500 / 7] {
            let (mut listed, mut cursor) = (Vec::new(), Value::Null);
            loop {
                let mut asked = json!({"sort": sort, "limit": limit, "role": "node"});
                if cursor.is_string() {
                    asked["cursor"] = cursor;
                }
                let page = call(&router, "clients.list", asked);
                let clients = page["clients"].as_array().unwrap();
                assert!(clients.len() <= limit);
                listed.extend(clients.iter().map(|client| client["conn_id"].as_str().unwrap().to_owned()));
                cursor = page["next_cursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
            assert_eq!(listed, sorted(sort), "{sort} {limit}");
        }
    }
}

#[test]
fn a_client_that_the_filter_does_not_mean_stays() {
    let router = router();
    let crowd = crowd(&router, 2);
    let conn_id = crowd[0].conn_id.to_string();
    let done = call(&router, "clients.disconnect", json!({"conn_id": conn_id, "role": "operator"}));
    assert_eq!(done, json!({"matched": 0, "disconnected": 0, "dry_run": false}));
    let done = call(&router, "clients.disconnect", json!({"conn_id": conn_id, "role": "node", "health": "ok"}));
    assert_eq!(done, json!({"matched": 1, "disconnected": 1, "dry_run": false}));
    let closing = call(&router, "clients.list", json!({"health": "closing"}));
    assert_eq!(closing["clients"].as_array().unwrap().len(), 1);
    assert_eq!(closing["clients"][0]["conn_id"], conn_id);
}

/// More than a turn is for.
const MANY: usize = 10_000;

#[tokio::test]
async fn many_are_listed_in_turns_and_answered_once() {
    let router = router();
    let _crowd = crowd(&router, MANY);
    let asker = client();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"clients.list","params":{"limit":3}}"#;
    let ping = r#"{"jsonrpc":"2.0","id":2,"method":"gateway.ping"}"#;
    let detail = list.replace(r#""id":1,"#, "");
    let sent = || asker.outbox.snapshot().outbox_messages;
    let mut answers = 0;
    for (text, is_answered) in
        [(list.to_owned(), true), (detail.clone(), false), (format!("[{detail},{list},{ping}]"), true)]
    {
        end_turn().await;
        let mut rest = router.answer(&asker, &text).send_to(&asker);
        let mut pieces = 0;
        while let Some(left) = rest {
            assert_eq!(sent(), answers, "nothing is answered before the end");
            pieces += 1;
            yield_now().await;
            end_turn().await;
            rest = left.go_on();
        }
        assert!(pieces > 5, "{pieces}");
        answers += usize::from(is_answered);
        assert_eq!(sent(), answers, "{text}");
    }
}

#[tokio::test]
async fn over_http_all_is_done_or_nothing() {
    let router = router();
    let mut crowd = crowd(&router, MANY);
    let auth = Arc::new(AuthInfo::anonymous());
    let begin = async |method: &str, value: Value| {
        end_turn().await;
        match router.call(&auth, method, &params(value)) {
            HttpCall::Unfinished(work) => work,
            _ => panic!("{method} is done in one turn"),
        }
    };
    let page = begin("clients.list", json!({"limit": 1000})).await;
    // One of the page leaves, and somebody comes.
    let gone = crowd.swap_remove(999);
    drop(gone);
    crowd.push(router.state.registry.on_connect(GatewayClient::unconnected(AuthInfo::new("late", Role::Node, []))));
    let page = result_of(page.finish().await);
    let listed: HashSet<_> =
        page["clients"].as_array().unwrap().iter().map(|client| client["conn_id"].clone()).collect();
    let id = |client: &Registration| json!(client.conn_id.to_string());
    assert!(listed.len() == 1000 && crowd[..999].iter().all(|client| listed.contains(&id(client))));

    let is_untouched =
        |client: &Registration| client.close_reason().is_none() && client.outbox.snapshot().outbox_messages == 0;
    for method in ["clients.send", "clients.disconnect"] {
        let value =
            if method == "clients.send" { json!({"role": "node", "method": "x"}) } else { json!({"role": "node"}) };
        drop(begin(method, value).await);
        assert!(crowd.iter().all(is_untouched), "{method} was given up");
    }
    let queued = begin("clients.send", json!({"role": "node", "method": "x"})).await.finish().await;
    assert_eq!(result_of(queued), json!({"queued": MANY}));
    assert!(crowd.iter().all(|client| client.outbox.snapshot().outbox_messages == 1));
    for dry_run in [true, false] {
        let done = begin("clients.disconnect", json!({"role": "node", "dry_run": dry_run})).await.finish().await;
        let disconnected = if dry_run { 0 } else { MANY };
        assert_eq!(result_of(done), json!({"matched": MANY, "disconnected": disconnected, "dry_run": dry_run}));
        assert!(crowd.iter().all(|client| client.close_reason().is_some() != dry_run));
    }
}
