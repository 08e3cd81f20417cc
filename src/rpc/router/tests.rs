use super::*;
use crate::auth::AuthInfo;
use crate::budget;
use crate::rpc::method::CallResult;
use serde_json::{Value, json};

mod scan;
mod specification;

fn client() -> Arc<GatewayClient> {
    GatewayClient::unconnected(AuthInfo::anonymous())
}

fn router() -> Router {
    let mut config = Config::new(1024);
    config.limits.max_batch_requests = 3;
    let (presence, heartbeat) =
        (Presence::new(config.presence.clone()), Heartbeat::new(&config.heartbeat, Arc::default()));
    Router::new(&config, Arc::default(), presence.into(), heartbeat.into())
}

fn answer(text: &str) -> Option<String> {
    at_once(router().answer(&client(), text))
}

/// Outside a task no turn is over.
fn at_once(answer: Answer) -> Option<String> {
    match answer {
        Answer::Ready(answer) => answer,
        Answer::Unfinished(_) => panic!("unfinished"),
    }
}

fn error_of(text: &str) -> (i64, Value) {
    let answer = answer(text).unwrap_or_else(|| panic!("no answer to {text}"));
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("not JSON: {answer}"));
    assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
    assert!(answer["error"]["message"].is_string() && answer.get("result").is_none(), "{answer}");
    (answer["error"]["code"].as_i64().unwrap(), answer["id"].clone())
}

#[test]
fn an_id_comes_back_byte_for_byte() {
    for id in ["1", "-0", "1.0", "1e3", "12345678901234567890123", "null", r#""a""#, r#""\u00e9\n\"""#, r#""""#] {
        let request = format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"gateway.ping"}}"#);
        assert_eq!(answer(&request).unwrap(), format!(r#"{{"jsonrpc":"2.0","result":"pong","id":{id}}}"#));
    }
}

#[test]
fn echo_returns_its_params_byte_for_byte() {
    for params in [r#"{"b":1.50,"a":[1,{"x":null}]}"#, "[]", "[ 1,2 ]", r#"{"a":1,"a":2}"#, r#"["\ud83d\ude00"]"#] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":{params}}}"#);
        assert_eq!(answer(&request).unwrap(), format!(r#"{{"jsonrpc":"2.0","result":{params},"id":1}}"#));
    }
    let bare = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo"}"#;
    assert_eq!(answer(bare).unwrap(), r#"{"jsonrpc":"2.0","result":null,"id":1}"#);
}

#[test]
fn methods_answer() {
    let result = |method: &str| {
        let answer = answer(&format!(r#"{{"jsonrpc":"2.0","method":"{method}","id":"x"}}"#)).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["result"].clone()
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
fn the_method_may_be_escaped() {
    assert!(answer(r#"{"jsonrpc":"2.0","method":"gateway.\u0070ing","id":1}"#).unwrap().contains("pong"));
}

#[test]
fn what_is_not_json_is_a_parse_error() {
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
fn what_is_no_request_is_an_invalid_request() {
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
fn a_deep_value_is_no_danger() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":{deep}}}"#);
    assert!(answer(&request).unwrap().contains(&deep));
}

#[test]
fn unknown_methods_and_wrong_params_are_told_apart() {
    assert_eq!(error_of(r#"{"jsonrpc":"2.0","id":7,"method":"nope"}"#), (-32601, json!(7)));
    assert_eq!(error_of(r#"{"jsonrpc":"2.0","id":7,"method":""}"#), (-32601, json!(7)));
    for params in ["[1]", r#"{"a":1}"#, "1", "null", r#""x""#] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"gateway.whoami","params":{params}}}"#);
        assert_eq!(error_of(&request), (-32602, json!(7)), "{params}");
    }
    for params in ["[]", "{}", "[ ]", "{\n}"] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"gateway.ping","params":{params}}}"#);
        assert!(answer(&request).unwrap().contains("pong"), "{params}");
    }
}

#[test]
fn notifications_are_not_answered() {
    for method in ["gateway.ping", "nope"] {
        assert_eq!(answer(&format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#)), None);
    }
    assert_eq!(answer(r#"{"jsonrpc":"2.0","method":"gateway.ping","params":1}"#), None);
}

#[test]
fn batches_are_answered_as_one_up_to_a_bound() {
    let ping = |id: u32| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"gateway.ping"}}"#);
    let detail = r#"{"jsonrpc":"2.0","method":"gateway.ping"}"#;
    let mixed: Value = serde_json::from_str(&answer(&format!("[{},{detail},1]", ping(1))).unwrap()).unwrap();
    assert_eq!(mixed.as_array().unwrap().len(), 2);
    assert_eq!((&mixed[0]["id"], &mixed[1]["error"]["code"]), (&json!(1), &json!(-32600)));
    assert_eq!(answer(&format!(" [{detail}, {detail}]")), None);
    let many = answer(&format!("[{},{},{},{}]", ping(1), ping(2), ping(3), ping(4))).unwrap();
    let many: Value = serde_json::from_str(&many).unwrap();
    assert_eq!((&many["id"], &many["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert_eq!(many["error"]["data"], json!({"reason": "batch_too_large", "most": 3}));
}

#[test]
fn answers_to_a_batch_have_room_or_something_stands_in_for_them() {
    let router = |most| Router { max_batch_requests: 1000, max_answer_bytes: most, ..router() };
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#;
    let echo =
        |size| format!(r#"{{"jsonrpc":"2.0","id":2,"method":"gateway.echo","params":["{}"]}}"#, "x".repeat(size));
    let ask = |most, requests: Vec<String>| -> Value {
        let text = at_once(router(most).answer(&client(), &format!("[{}]", requests.join(",")))).unwrap();
        assert!(text.len() <= most, "{} bytes", text.len());
        serde_json::from_str(&text).unwrap()
    };
    // What is small is given as long as all of it has room.
    let pings = ask(50_000, vec![ping.to_owned(); 1000]);
    assert!(pings.as_array().unwrap().iter().all(|answer| answer["result"] == "pong"));
    // What is large leaves room for what stands in for the rest.
    let mixed = ask(50_000, [vec![echo(20_000); 10], vec![ping.to_owned(); 10]].concat());
    let reason = |answer: &Value| answer["error"]["data"]["reason"].as_str().map(str::to_owned);
    let reasons: Vec<_> = mixed.as_array().unwrap().iter().map(reason).collect();
    assert_eq!((reasons[0].as_deref(), reasons[10].as_deref()), (None, None), "{reasons:?}");
    assert_eq!(reasons.iter().flatten().filter(|reason| **reason == "answer_too_large").count(), 9, "{reasons:?}");
    // Where not even that has room, there is one answer to all.
    let too_many = ask(5000, vec![ping.to_owned(); 1000]);
    assert_eq!((&too_many["id"], reason(&too_many).as_deref()), (&Value::Null, Some("answer_too_large")));
    assert_eq!(too_many["error"]["data"]["most"], 5000);
}

#[tokio::test]
async fn a_batch_goes_on_when_others_have_had_their_turn() {
    let (client, router) = (client(), router());
    let ping = |id: u32| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"gateway.ping"}}"#);
    let batch = format!("[{},{},{}]", ping(1), ping(2), ping(3));
    let sent = || client.outbox.snapshot().outbox_peak_bytes;
    let end_turn = async || {
        while !budget::is_spent() {
            tokio::task::consume_budget().await;
        }
    };
    let mut pieces = 0;
    end_turn().await;
    let mut rest = router.answer(&client, &batch).send_to(&client);
    while let Some(left) = rest {
        assert_eq!(sent(), 0, "a batch is answered as one");
        pieces += 1;
        // A new turn, and its end.
        tokio::task::yield_now().await;
        end_turn().await;
        rest = left.go_on();
    }
    assert_eq!((pieces, sent() > 0), (2, true));
}

#[test]
fn responses_are_not_answered() {
    for response in [
        r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#,
        r#"{"id":"x","result":1,"error":1}"#,
        r#"[{"jsonrpc":"2.0","id":1,"result":1}]"#,
        r#"{"jsonrpc":"2.0","result":1}"#,
    ] {
        let router = router();
        assert_eq!(at_once(router.answer(&client(), response)), None, "{response}");
        assert_eq!(serde_json::to_value(router.call_counts()).unwrap()["answers_ignored"], 1, "{response}");
    }
}

/// Pieces of messages, more of them good than bad.
const PIECES: &str = r#"([\[\]{}:,"0-9a-z\\ ]|"jsonrpc":"2\.0",?|"method":"(gateway\.(echo|ping|subscribe|publish|health)|clients\.(list|get|send|disconnect|closed)|node\.(list|invoke|announce)|x)",?|"id":(1|null|"a"),?|"params":|"(result|error|topics|topic|data|target|role|limit|cursor)":){0,40}"#;

proptest::proptest! {
    /// Whatever comes: no panic, and an answer that is JSON if there is one.
    #[test]
    fn any_text_is_survived(text in PIECES) {
        if let Some(answer) = answer(&text) {
            proptest::prop_assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{}", answer);
        }
    }

    /// Whatever is asked, a notification, alone or among others, has no answer.
    #[test]
    fn no_notification_is_answered(
        methods in proptest::collection::vec(0..METHODS.len() + 1, 1..4),
        params in r#"(null|1|"x"|\[\]|\[1\]|\{\}|\{"(topics|topic|data|target|method|role|conn_id|limit|capabilities)":(1|"x"|\[\]|\["a"\]|null)\})?"#,
    ) {
        let detail = |method: &usize| {
            let method = METHODS.get(*method).map_or("nope", |method| method.name);
            let params = if params.is_empty() { String::new() } else { format!(r#","params":{params}"#) };
            format!(r#"{{"jsonrpc":"2.0","method":"{method}"{params}}}"#)
        };
        let notes: Vec<_> = methods.iter().map(detail).collect();
        proptest::prop_assert_eq!(answer(&notes[0]), None);
        proptest::prop_assert_eq!(answer(&format!("[{}]", notes.join(","))), None);
    }
}
