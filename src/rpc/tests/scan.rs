//! Lists of many clients, and what else is done with many.

use super::*;
use crate::auth::Role;
use crate::client::Registration;
use std::collections::HashSet;
use tokio::task::{consume_budget, yield_now};

/// So many of a few keys.
fn crowd(router: &Router, count: usize) -> Vec<Registration> {
    let keys: Vec<_> = (0..7).map(|key| Arc::new(AuthInfo::new(&format!("n{key}"), Role::Node, []))).collect();
    let client = |index: usize| GatewayClient::unconnected(keys[index * 31 % keys.len()].clone());
    (0..count).map(|index| router.hub.registry.on_connect(client(index))).collect()
}

/// Ends this task's turn.
async fn end_turn() {
    while !turn_is_over() {
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

#[tokio::test]
async fn what_is_done_with_many_is_done_in_turns() {
    const CLIENTS: usize = 10_000;
    let router = router();
    let crowd = crowd(&router, CLIENTS);
    let asker = client();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"clients.list","params":{"limit":3}}"#;
    let ping = r#"{"jsonrpc":"2.0","id":2,"method":"gateway.ping"}"#;
    // Alone, in a batch with something behind it, and as a notification.
    let sent = || asker.sender.state().outbox_highest_bytes as usize;
    let note = list.replace(r#""id":1,"#, "");
    let mut before = 0;
    for (text, answers) in [(note.clone(), 0), (list.to_owned(), 1), (format!("[{list},{ping},{note}]"), 2)] {
        end_turn().await;
        let mut rest = router.answer(&asker, &text).send_to(&asker);
        let mut pieces = 0;
        while let Some(left) = rest {
            assert_eq!(sent(), before, "nothing is answered before the end");
            pieces += 1;
            yield_now().await;
            end_turn().await;
            rest = left.go_on();
        }
        assert!(pieces > 5, "{pieces}");
        let least = [0, 300, 340][answers];
        assert!(sent() >= before + least, "{} bytes", sent());
        before = sent();
    }
    // Over HTTP.
    let auth = Arc::new(AuthInfo::anonymous());
    let ask = async |method: &str, value: Value| {
        end_turn().await;
        match router.call(&auth, method, &params(value)) {
            HttpCall::Unfinished(work) => result_of(work.finish().await),
            _ => panic!("{method} is done in one turn"),
        }
    };
    let page = ask("clients.list", json!({"limit": 1000})).await;
    let oldest: HashSet<_> = crowd[..1000].iter().map(|client| client.conn_id.to_string()).collect();
    let listed =
        page["clients"].as_array().unwrap().iter().map(|client| client["conn_id"].as_str().unwrap().to_owned());
    assert_eq!(listed.collect::<HashSet<_>>(), oldest);
    let queued = ask("clients.send", json!({"role": "node", "method": "x"})).await;
    assert_eq!(queued, json!({"queued": CLIENTS}));
    assert!(crowd.iter().all(|client| client.sender.state().outbox_highest_bytes > 0));
    let dry = ask("clients.disconnect", json!({"role": "node", "dry_run": true})).await;
    assert_eq!(dry, json!({"matched": CLIENTS, "disconnected": 0, "dry_run": true}));
    let done = ask("clients.disconnect", json!({"role": "node"})).await;
    assert_eq!(done, json!({"matched": CLIENTS, "disconnected": CLIENTS, "dry_run": false}));
    assert!(crowd.iter().all(|client| client.close_reason().is_some()));
}
