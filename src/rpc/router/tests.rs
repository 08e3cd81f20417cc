use super::*;
use crate::auth::{AuthInfo, Role};
use serde_json::{Value, json};
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, Waker};

mod scan;
mod specification;

fn client() -> Arc<GatewayClient> {
    GatewayClient::unconnected(AuthInfo::anonymous())
}

fn router() -> Router {
    router_with(3, 1_000_000)
}

fn router_with(max_batch_requests: usize, max_response_bytes: usize) -> Router {
    let config = LiveConfig::with(|config| {
        config.limits.max_batch_requests = max_batch_requests;
        config.limits.outbox_max_bytes = 2 * max_response_bytes;
    });
    let (presence, heartbeat) = (Presence::new(config.clone()), Heartbeat::new(config.clone(), Arc::default()));
    Router::new(config, Arc::default(), presence.into(), heartbeat.into())
}

/// The response to a message, if there is one. Outside a task the budget is unlimited, so nothing yields.
fn response_of(router: &Router, text: &str) -> Option<String> {
    let client = client();
    if let Some(future) = router.on_message(&client, Message::Text(text.into())) {
        assert!(poll_once(pin!(future)).is_ready(), "{text} isn't finished by one poll");
    }
    let mut sent = client.outbox.queued();
    assert!(sent.len() <= 1, "{sent:?}");
    sent.pop().map(|message| text_of(&message))
}

fn text_of(message: &Message) -> String {
    String::from_utf8(message.payload().to_vec()).unwrap()
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut TaskContext::from_waker(Waker::noop()))
}

fn response(text: &str) -> Option<String> {
    response_of(&router(), text)
}

fn error_of(text: &str) -> (i64, Value) {
    let response = response(text).unwrap_or_else(|| panic!("no response to {text}"));
    let response: Value = serde_json::from_str(&response).unwrap_or_else(|_| panic!("not JSON: {response}"));
    assert_eq!(response["jsonrpc"], "2.0", "{response}");
    assert!(response["error"]["message"].is_string() && response.get("result").is_none(), "{response}");
    (response["error"]["code"].as_i64().unwrap(), response["id"].clone())
}

#[test]
fn response_has_the_id_byte_for_byte() {
    for id in ["1", "-0", "1.0", "1e3", "12345678901234567890123", "null", r#""a""#, r#""\u00e9\n\"""#, r#""""#] {
        let request = format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"gateway.ping"}}"#);
        assert_eq!(response(&request).unwrap(), format!(r#"{{"jsonrpc":"2.0","result":"pong","id":{id}}}"#));
    }
}

#[test]
fn echo_returns_its_params_byte_for_byte() {
    for params in [r#"{"b":1.50,"a":[1,{"x":null}]}"#, "[]", "[ 1,2 ]", r#"{"a":1,"a":2}"#, r#"["\ud83d\ude00"]"#] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":{params}}}"#);
        assert_eq!(response(&request).unwrap(), format!(r#"{{"jsonrpc":"2.0","result":{params},"id":1}}"#));
    }
    let bare = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo"}"#;
    assert_eq!(response(bare).unwrap(), r#"{"jsonrpc":"2.0","result":null,"id":1}"#);
}

#[test]
fn gateway_methods_return_their_results() {
    let result = |method: &str| {
        let response = response(&format!(r#"{{"jsonrpc":"2.0","method":"{method}","id":"x"}}"#)).unwrap();
        serde_json::from_str::<Value>(&response).unwrap()["result"].clone()
    };
    assert_eq!(result("gateway.ping"), "pong");
    assert_eq!(result("gateway.health"), json!({"total_connections": 0, "operators": 0, "nodes": 0}));
    let me = result("gateway.whoami");
    assert_eq!(me["conn_id"].as_str().unwrap().len(), 36);
    assert_eq!(me["remote_addr"], "unix");
    assert_eq!(me["connected_seconds"], 0);
    assert_eq!((&me["role"], &me["presence_key"]), (&json!("operator"), &json!("operator:anonymous")));
    assert_eq!(me["scopes"], json!(["*"]));
    let methods = result("gateway.methods");
    let names: Vec<_> = methods.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.len() == METHODS.len() && names.is_sorted(), "{names:?}");
}

#[test]
fn escaped_method_name_is_found() {
    assert!(response(r#"{"jsonrpc":"2.0","method":"gateway.\u0070ing","id":1}"#).unwrap().contains("pong"));
}

#[test]
fn text_that_is_not_json_is_a_parse_error() {
    for text in [
        "",
        " ",
        "x",
        "{",
        r#"{"jsonrpc":"2.0","method":"gateway.ping","id":1"#,
        "[",
        "[1,]",
        "{}{}",
        "\u{feff}{}",
        "nan",
    ] {
        assert_eq!(error_of(text), (-32700, Value::Null), "{text}");
    }
    let deep = "[".repeat(200_000);
    assert_eq!(error_of(&deep), (-32700, Value::Null));
}

#[test]
fn json_that_is_no_request_is_an_invalid_request() {
    for (text, id) in [
        ("1", json!(null)),
        ("null", json!(null)),
        (r#""text""#, json!(null)),
        ("{}", json!(null)),
        ("[]", json!(null)),
        (r#"{"method":"gateway.ping","id":1}"#, json!(1)),
        (r#"{"jsonrpc":"1.0","method":"gateway.ping","id":1}"#, json!(1)),
        (r#"{"jsonrpc":2.0,"method":"gateway.ping","id":1}"#, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1}"#, json!(1)),
        (r#"{"jsonrpc":"2.0","method":1,"id":1}"#, json!(1)),
        (r#"{"jsonrpc":"2.0","method":null,"id":1}"#, json!(1)),
        (r#"{"jsonrpc":"2.0","method":"gateway.ping","id":{}}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","method":"gateway.ping","id":[1]}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","method":"gateway.ping","id":true}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","method":"gateway.ping","id":1,"id":2}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","method":1}"#, json!(null)),
    ] {
        assert_eq!(error_of(text), (-32600, id), "{text}");
    }
}

#[test]
fn deeply_nested_params_are_echoed() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":{deep}}}"#);
    assert!(response(&request).unwrap().contains(&deep));
}

#[test]
fn unknown_method_and_invalid_params_have_different_codes() {
    assert_eq!(error_of(r#"{"jsonrpc":"2.0","id":7,"method":"nope"}"#), (-32601, json!(7)));
    assert_eq!(error_of(r#"{"jsonrpc":"2.0","id":7,"method":""}"#), (-32601, json!(7)));
    for params in ["[1]", r#"{"a":1}"#, "1", "null", r#""x""#] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"gateway.whoami","params":{params}}}"#);
        assert_eq!(error_of(&request), (-32602, json!(7)), "{params}");
    }
    for params in ["[]", "{}", "[ ]", "{\n}"] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"gateway.ping","params":{params}}}"#);
        assert!(response(&request).unwrap().contains("pong"), "{params}");
    }
}

#[test]
fn notification_gets_no_response() {
    for method in ["gateway.ping", "nope"] {
        assert_eq!(response(&format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#)), None);
    }
    assert_eq!(response(r#"{"jsonrpc":"2.0","method":"gateway.ping","params":1}"#), None);
}

#[test]
fn batch_gets_one_response_up_to_the_request_limit() {
    let ping = |id: u32| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"gateway.ping"}}"#);
    let notification = r#"{"jsonrpc":"2.0","method":"gateway.ping"}"#;
    let mixed: Value = serde_json::from_str(&response(&format!("[{},{notification},1]", ping(1))).unwrap()).unwrap();
    assert_eq!(mixed.as_array().unwrap().len(), 2);
    assert_eq!((&mixed[0]["id"], &mixed[1]["error"]["code"]), (&json!(1), &json!(-32600)));
    assert_eq!(response(&format!(" [{notification}, {notification}]")), None);
    let many = response(&format!("[{},{},{},{}]", ping(1), ping(2), ping(3), ping(4))).unwrap();
    let many: Value = serde_json::from_str(&many).unwrap();
    assert_eq!((&many["id"], &many["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert_eq!(many["error"]["data"], json!({"reason": "batch_too_large", "most": 3}));
}

#[test]
fn batch_response_is_bounded_and_large_results_are_replaced_by_errors() {
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#;
    let echo =
        |size| format!(r#"{{"jsonrpc":"2.0","id":2,"method":"gateway.echo","params":["{}"]}}"#, "x".repeat(size));
    let run = |max_response_bytes, requests: Vec<String>| -> Value {
        let router = router_with(1000, max_response_bytes);
        let text = response_of(&router, &format!("[{}]", requests.join(","))).unwrap();
        assert!(text.len() <= max_response_bytes, "{} bytes", text.len());
        serde_json::from_str(&text).unwrap()
    };
    let reason = |response: &Value| response["error"]["data"]["reason"].as_str().map(str::to_owned);
    let pings = run(60_000, vec![ping.to_owned(); 1000]);
    assert!(pings.as_array().unwrap().iter().all(|response| response["result"] == "pong"));
    // Of three large results two fit; the third is replaced, and small ones still fit.
    let mixed = run(60_000, [vec![echo(20_000); 3], vec![ping.to_owned(); 10]].concat());
    let reasons: Vec<_> = mixed.as_array().unwrap().iter().map(reason).collect();
    assert_eq!(reasons.iter().flatten().collect::<Vec<_>>(), ["answer_too_large"], "{reasons:?}");
    assert_eq!(reasons[2].as_deref(), Some("answer_too_large"));
    // An error that is no longer than the replacement is kept.
    let unknown = r#"{"jsonrpc":"2.0","id":3,"method":"nope"}"#.to_owned();
    let mixed = run(60_000, [vec![echo(22_440); 2], vec![unknown]].concat());
    assert_eq!(mixed[2]["error"]["code"], -32601, "{}", mixed[2]);
    // If the errors don't fit either, one error answers the whole batch.
    let overflowed = run(5000, vec![ping.to_owned(); 1000]);
    assert_eq!((&overflowed["id"], reason(&overflowed).as_deref()), (&Value::Null, Some("answer_too_large")));
    assert_eq!(overflowed["error"]["data"]["most"], 5000);
}

#[tokio::test]
async fn batch_yields_when_the_budget_is_spent_and_is_answered_once() {
    let (client, router) = (client(), router_with(1000, 1_000_000));
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#;
    let batch = format!("[{}]", vec![ping; 1000].join(","));
    let mut future = router.on_message(&client, Message::Text(batch.into())).expect("a batch is a future");
    assert!(count_yields(future.as_mut(), || assert!(client.outbox.queued().is_empty())).await > 2);
    assert_eq!(client.outbox.queued().len(), 1);
}

/// Polls a future to its end, each time with a full budget. Returns how often it yielded.
async fn count_yields<F: Future + ?Sized>(mut future: Pin<&mut F>, after_yield: impl Fn()) -> usize {
    let mut yields = 0;
    loop {
        tokio::task::yield_now().await;
        if poll_once(future.as_mut()).is_ready() {
            return yields;
        }
        after_yield();
        yields += 1;
    }
}

/// A call to a node.
fn invoke(id: u32) -> String {
    let params = r#"{"target":"node:n","method":"x","timeout":3600}"#;
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"node.invoke","params":{params}}}"#)
}

#[test]
fn only_one_batch_of_a_client_waits_for_nodes() {
    let (router, caller) = (router(), client());
    let node = GatewayClient::unconnected(AuthInfo::new("n", Role::Node, []));
    let _registration = router.state.registry.on_connect(node.clone());
    router.state.presence.join(&node, &router);
    let run = |requests: &[String]| {
        let batch = Message::Text(format!("[{}]", requests.join(",")).into());
        let future = router.on_message(&caller, batch).expect("a batch is a future");
        assert!(poll_once(pin!(future)).is_ready());
    };
    run(&[invoke(1), invoke(2)]);
    assert_eq!((caller.outbox.queued().len(), node.outbox.queued().len()), (0, 2));
    run(&[invoke(3), r#"{"jsonrpc":"2.0","id":9,"method":"gateway.ping"}"#.to_owned()]);
    let refused: Value = serde_json::from_str(&text_of(&caller.outbox.queued()[0])).unwrap();
    assert_eq!((&refused[0]["id"], &refused[0]["error"]["data"]["reason"]), (&json!(3), &json!("caller_busy")));
    assert_eq!(refused[1]["result"], "pong", "the rest of the batch is done");
    // A call outside a batch is still made.
    assert!(router.on_message(&caller, Message::Text(invoke(5).into())).is_none());
    assert_eq!(node.outbox.queued().len(), 3);
    let answer = |request: Message| {
        let request: Value = serde_json::from_str(&text_of(&request)).unwrap();
        json!({"jsonrpc": "2.0", "id": request["id"], "result": 7})
    };
    // A node may answer in a batch.
    let answers = json!(node.outbox.queued().into_iter().map(answer).collect::<Vec<_>>());
    let future = router.on_message(&node, Message::Text(answers.to_string().into())).expect("a batch is a future");
    assert!(poll_once(pin!(future)).is_ready());
    let done: Value = serde_json::from_str(&text_of(&caller.outbox.queued()[1])).unwrap();
    assert_eq!((&done[0]["result"], &done[1]["result"], done.as_array().unwrap().len()), (&json!(7), &json!(7), 2));
    // Now the next batch may wait.
    run(&[invoke(4)]);
    assert_eq!((caller.outbox.queued().len(), node.outbox.queued().len()), (3, 4));
}

#[test]
fn binary_message_closes_the_client_as_unsupported_data() {
    let client = client();
    assert!(router().on_message(&client, Message::Binary("x".into())).is_none());
    assert_eq!(client.close_reason(), Some(CloseReason::UnsupportedData));
}

#[test]
fn response_gets_no_response_and_is_counted() {
    for response in [
        r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#,
        r#"{"id":"x","result":1,"error":1}"#,
        r#"[{"jsonrpc":"2.0","id":1,"result":1}]"#,
        r#"{"jsonrpc":"2.0","result":1}"#,
    ] {
        let router = router();
        assert_eq!(response_of(&router, response), None, "{response}");
        assert_eq!(serde_json::to_value(router.call_counts()).unwrap()["answers_ignored"], 1, "{response}");
    }
}

#[test]
fn member_name_that_is_duplicated_or_invalid_unicode_is_an_error() {
    for (members, expected) in [
        (r#""id":2"#, "Invalid Request: a member is duplicated, or its name isn't valid Unicode"),
        (r#""\ud800":1"#, "Invalid Request: a member is duplicated, or its name isn't valid Unicode"),
        (r#""params":{"conn_id":1,"conn_id":2}"#, "Invalid params: conn_id: duplicate member"),
        (r#""params":{"\ud800":1}"#, "Invalid params: a member's name isn't valid Unicode"),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"clients.get",{members}}}"#);
        let response: Value = serde_json::from_str(&response(&text).unwrap()).unwrap();
        assert_eq!(response["error"]["message"], expected, "{text}");
    }
}

/// A regular expression for texts of up to 40 pieces. Most pieces are members of messages or their names; the others
/// are single characters.
const FRAGMENTS: &str = r#"([\[\]{}:,"0-9a-z\\ ]|"jsonrpc":"2\.0",?|"method":"(gateway\.(echo|ping|subscribe|publish|health)|clients\.(list|get|send|disconnect|closed)|node\.(list|invoke|announce)|x)",?|"id":(1|null|"a"),?|"params":|"(result|error|topics|topic|data|target|role|limit|cursor)":){0,40}"#;

proptest::proptest! {
    /// No text makes the router panic, and every response is JSON.
    #[test]
    fn any_text_gets_json_or_nothing(text in FRAGMENTS) {
        if let Some(answer) = response(&text) {
            proptest::prop_assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{}", answer);
        }
    }

    /// A notification gets no response, alone or in a batch, whatever it calls.
    #[test]
    fn no_notification_gets_a_response(
        methods in proptest::collection::vec(0..METHODS.len() + 1, 1..4),
        params in r#"(null|1|"x"|\[\]|\[1\]|\{\}|\{"(topics|topic|data|target|method|role|conn_id|limit|capabilities)":(1|"x"|\[\]|\["a"\]|null)\})?"#,
    ) {
        let notification = |method: &usize| {
            let method = METHODS.get(*method).map_or("nope", |method| method.name);
            let params = if params.is_empty() { String::new() } else { format!(r#","params":{params}"#) };
            format!(r#"{{"jsonrpc":"2.0","method":"{method}"{params}}}"#)
        };
        let notifications: Vec<_> = methods.iter().map(notification).collect();
        proptest::prop_assert_eq!(response(&notifications[0]), None);
        proptest::prop_assert_eq!(response(&format!("[{}]", notifications.join(","))), None);
    }
}
