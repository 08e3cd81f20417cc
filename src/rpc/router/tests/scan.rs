//! Scans of many clients: lists, and actions on many clients.

use super::*;
use crate::registry::Registration;
use crate::rpc::protocol::responder::CallResult;
use std::collections::HashSet;
use tokio::task::yield_now;

/// Registers `count` clients that share seven presence keys.
fn register_clients(router: &Router, count: usize) -> Vec<Registration> {
    let keys: Vec<_> = (0..7).map(|key| Arc::new(AuthInfo::new(&format!("n{key}"), Role::Node, []))).collect();
    let client = |index: usize| GatewayClient::unconnected(keys[index * 31 % keys.len()].clone());
    (0..count).map(|index| router.state.registry.on_connect(client(index))).collect()
}

fn params(value: Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn success(result: CallResult<'_>) -> Value {
    let CallResult::Success(result) = result else { panic!("{result:?}") };
    serde_json::from_str(&result).unwrap()
}

/// Calls a method outside a task, where the budget is unlimited.
fn call(router: &Router, method: &str, value: Value) -> Value {
    let call = router.call(&Arc::new(AuthInfo::anonymous()), method, &params(value));
    match poll_once(pin!(call.result)) {
        Poll::Ready(result) => success(result),
        Poll::Pending => panic!("{method} isn't finished by one poll"),
    }
}

#[test]
fn pages_list_each_staying_client_once_and_in_order_while_others_connect_and_disconnect() {
    let router = router();
    let mut passing = register_clients(&router, 100);
    let clients = register_clients(&router, 2_500);
    let staying: HashSet<_> = clients.iter().map(|client| client.conn_id.to_string()).collect();
    let key = |client: &Registration| (client.auth.presence_key.clone(), client.conn_id);
    let connected = |client: &Registration| (client.connected_at.nanos(), client.conn_id);
    let ids = |clients: Vec<&Registration>| clients.iter().map(|client| client.conn_id.to_string()).collect::<Vec<_>>();
    let sorted = |sort: &str| {
        let mut clients: Vec<_> = clients.iter().collect();
        match sort {
            "presence_key" => clients.sort_by_key(|client| key(client)),
            "oldest" => clients.sort_by_key(|client| connected(client)),
            _ => clients.sort_by(|a, b| (connected(b).0, connected(a).1).cmp(&(connected(a).0, connected(b).1))),
        }
        ids(clients)
    };
    for sort in ["oldest", "newest", "presence_key"] {
        for limit in [1000, 333, 2500 / 7] {
            let (mut listed, mut cursor) = (Vec::new(), Value::Null);
            loop {
                let mut query = json!({"sort": sort, "limit": limit, "role": "node"});
                if cursor.is_string() {
                    query["cursor"] = cursor;
                }
                let page = call(&router, "clients.list", query);
                let clients = page["clients"].as_array().unwrap();
                assert!(clients.len() <= limit);
                listed.extend(clients.iter().map(|client| client["conn_id"].as_str().unwrap().to_owned()));
                cursor = page["next_cursor"].clone();
                if cursor.is_null() {
                    break;
                }
                // Some of these were listed before, others weren't.
                passing.drain(..passing.len() / 4);
                passing.extend(register_clients(&router, 1));
            }
            assert_eq!(listed.iter().collect::<HashSet<_>>().len(), listed.len(), "{sort} {limit}: listed twice");
            listed.retain(|id| staying.contains(id));
            assert_eq!(listed, sorted(sort), "{sort} {limit}");
        }
    }
}

#[test]
fn disconnect_spares_a_client_that_the_filter_does_not_match() {
    let router = router();
    let clients = register_clients(&router, 2);
    let conn_id = clients[0].conn_id.to_string();
    let done = call(&router, "clients.disconnect", json!({"conn_id": conn_id, "role": "operator"}));
    assert_eq!(done, json!({"matched": 0, "disconnected": 0, "dry_run": false}));
    let done = call(&router, "clients.disconnect", json!({"conn_id": conn_id, "role": "node", "health": "ok"}));
    assert_eq!(done, json!({"matched": 1, "disconnected": 1, "dry_run": false}));
    let closing = call(&router, "clients.list", json!({"health": "closing"}));
    assert_eq!(closing["clients"].as_array().unwrap().len(), 1);
    assert_eq!(closing["clients"][0]["conn_id"], conn_id);
}

/// More clients than are visited within one budget.
const MANY: usize = 10_000;

#[tokio::test]
async fn list_of_many_clients_yields_and_is_answered_once() {
    let router = router();
    let _clients = register_clients(&router, MANY);
    let caller = client();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"clients.list","params":{"limit":3}}"#;
    let ping = r#"{"jsonrpc":"2.0","id":2,"method":"gateway.ping"}"#;
    let notification = list.replace(r#""id":1,"#, "");
    let mut responses = 0;
    for (text, is_answered) in
        [(list.to_owned(), true), (notification.clone(), false), (format!("[{notification},{list},{ping}]"), true)]
    {
        let mut future = router.on_message(&caller, Message::Text(text.clone().into())).expect("a scan is a future");
        let assert_unanswered = || assert_eq!(caller.outbox.queued().len(), responses, "answered before the end");
        assert!(count_yields(future.as_mut(), assert_unanswered).await > 0, "{text}");
        responses += usize::from(is_answered);
        assert_eq!(caller.outbox.queued().len(), responses, "{text}");
    }
}

#[tokio::test]
async fn call_over_http_affects_all_clients_or_none_if_cancelled() {
    let router = router();
    let mut clients = register_clients(&router, MANY);
    let auth = Arc::new(AuthInfo::anonymous());
    // Starts a call by one poll, which doesn't finish it.
    let begin = async |method: &str, value: Value| {
        yield_now().await;
        let mut call = router.call(&auth, method, &params(value));
        assert!(poll_once(call.result.as_mut()).is_pending(), "{method} doesn't yield");
        call
    };
    let page = begin("clients.list", json!({"limit": 1000})).await;
    // Meanwhile a client of the page disconnects, and another one connects.
    drop(clients.swap_remove(999));
    clients.push(router.state.registry.on_connect(GatewayClient::unconnected(AuthInfo::new("late", Role::Node, []))));
    let page = success(page.result.await);
    let listed: HashSet<_> =
        page["clients"].as_array().unwrap().iter().map(|client| client["conn_id"].clone()).collect();
    let id = |client: &Registration| json!(client.conn_id.to_string());
    assert!(listed.len() >= 999 && clients[..999].iter().all(|client| listed.contains(&id(client))));

    let is_untouched = |client: &Registration| client.close_reason().is_none() && client.outbox.queued().is_empty();
    let send = json!({"role": "node", "method": "x"});
    for (method, value) in [("clients.send", send.clone()), ("clients.disconnect", json!({"role": "node"}))] {
        drop(begin(method, value).await);
        assert!(clients.iter().all(is_untouched), "{method} was cancelled");
    }
    assert_eq!(success(begin("clients.send", send).await.result.await), json!({"queued": MANY}));
    assert!(clients.iter().all(|client| client.outbox.queued().len() == 1));
    for dry_run in [true, false] {
        let result = begin("clients.disconnect", json!({"role": "node", "dry_run": dry_run})).await.result.await;
        let disconnected = if dry_run { 0 } else { MANY };
        assert_eq!(success(result), json!({"matched": MANY, "disconnected": disconnected, "dry_run": dry_run}));
        assert!(clients.iter().all(|client| client.close_reason().is_some() != dry_run));
    }
}

#[tokio::test]
async fn page_yields_while_its_rows_are_written() {
    let router = router();
    // Fewer clients than a scan visits before it yields.
    let _clients = register_clients(&router, 900);
    let yields = async |limit: usize| {
        let call = router.call(&Arc::new(AuthInfo::anonymous()), "clients.list", &params(json!({"limit": limit})));
        count_yields(pin!(call.result), || ()).await
    };
    assert_eq!(yields(10).await, 0);
    assert!(yields(900).await > 2);
}
