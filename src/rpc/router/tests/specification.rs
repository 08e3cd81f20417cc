//! The examples of the JSON-RPC 2.0 specification, section 7: each request gets the response printed there.

use super::*;
use crate::rpc::method::ready;

/// The methods that the examples call.
const EXAMPLES: &[Method] = &[
    Method::new("get_data", None, "", |_| ready(&json!(["hello", 5]))),
    Method::new("notify_hello", None, "", |_| ready(&json!(true))),
    Method::new("subtract", None, "", subtract),
    Method::new("sum", None, "", |context| ready(&numbers(&context)?.iter().sum::<i64>())),
    Method::new("update", None, "", |_| ready(&json!(true))),
];

fn numbers(context: &Context<'_>) -> Result<Vec<i64>, RpcError> {
    let params = context.params.map_or("[]", RawValue::get);
    serde_json::from_str(params).map_err(|_| RpcError::invalid_member("params", "numbers"))
}

fn subtract<'a>(context: Context<'a>) -> MethodResult<'a> {
    if let Ok(numbers) = numbers(&context) {
        return ready(&(numbers[0] - numbers[1]));
    }
    let mut params = context.params()?;
    let mut take = |name| params.optional::<i64>(name, "a number").map(Option::unwrap_or_default);
    ready(&(take("minuend")? - take("subtrahend")?))
}

/// Each request and its response; empty if the specification shows none.
const PRINTED: &[(&str, &str)] = &[
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
        r#"{"jsonrpc": "2.0", "result": 19, "id": 1}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#,
        r#"{"jsonrpc": "2.0", "result": -19, "id": 2}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
        r#"{"jsonrpc": "2.0", "result": 19, "id": 3}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}"#,
        r#"{"jsonrpc": "2.0", "result": 19, "id": 4}"#,
    ),
    (r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#, ""),
    (r#"{"jsonrpc": "2.0", "method": "foobar"}"#, ""),
    (
        r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
        r#"{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
        r#"{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
        r#"{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}"#,
    ),
    (
        r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]"#,
        r#"{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}"#,
    ),
    ("[]", r#"{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}"#),
    ("[1]", r#"[{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}]"#),
    (
        "[1,2,3]",
        r#"[
            {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
            {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
            {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
        ]"#,
    ),
    (
        r#"[
            {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
            {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
            {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
            {"foo": "boo"},
            {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
            {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
        ]"#,
        r#"[
            {"jsonrpc": "2.0", "result": 7, "id": "1"},
            {"jsonrpc": "2.0", "result": 19, "id": "2"},
            {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
            {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "5"},
            {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
        ]"#,
    ),
    (
        r#"[
            {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
            {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
        ]"#,
        "",
    ),
];

#[test]
fn specification_examples_get_the_printed_responses() {
    let router = Router { methods: EXAMPLES, ..router_with(10, 1_000_000) };
    for (sent, printed) in PRINTED {
        let response = response_of(&router, sent).unwrap_or_default();
        let value = |text: &str| without_problems(serde_json::from_str(text).unwrap_or_default());
        assert_eq!((value(&response), response.is_empty()), (value(printed), printed.is_empty()), "{sent}: {response}");
    }
}

/// Removes what the gateway adds to the specification's message: the problem with the request.
fn without_problems(mut response: Value) -> Value {
    match &mut response {
        Value::Array(responses) => responses.iter_mut().for_each(|one| *one = without_problems(one.take())),
        Value::Object(members) => {
            if let Some(Value::String(message)) = members.get_mut("error").and_then(|error| error.get_mut("message")) {
                message.truncate(message.find(": ").unwrap_or(message.len()));
            }
        }
        _ => {}
    }
    response
}
