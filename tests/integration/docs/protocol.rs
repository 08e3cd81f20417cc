//! `src/rpc/README.md`: methods, scopes, paths and close codes are those of the code, and the examples are true.

use super::{OPERATION, PROTOCOL, README, blocks, code_spans, section, table};
use crate::common::Gateway;
use crate::common::http::exchange;
use crate::common::test_gateway::TestGateway;
use aisopod_gateway::CloseReason;
use serde_json::{Value, json};

/// A method as the protocol's README describes it.
struct Description {
    name: &'static str,
    /// What follows "Scope: ".
    scope: &'static str,
    params: Value,
    result: Value,
}

/// All methods in the order of the README, which is one in which the examples can run.
fn descriptions() -> Vec<Description> {
    let methods = section(PROTOCOL, "## Methods").split("\n### ").skip(1);
    let describe = |text: &'static str| {
        let name = code_spans(text).next().expect("a name");
        let scope = text.split("Scope: ").nth(1).unwrap_or_else(|| panic!("{name} has no scope"));
        let (_, example) = blocks(text)[0];
        let (params, result) = example.trim_start_matches("// params").split_once("// result").expect("a result");
        let json = |text| serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        Description {
            name,
            scope: scope.split('.').next().unwrap_or_default(),
            params: json(params),
            result: json(result),
        }
    };
    methods.map(describe).collect()
}

/// Whether a result looks like the example: the same members, and the same texts except for those with an ellipsis.
fn looks_like(actual: &Value, example: &Value) -> bool {
    match (actual, example) {
        (Value::Object(actual), Value::Object(example)) => {
            actual.keys().eq(example.keys()) && example.iter().all(|(name, value)| looks_like(&actual[name], value))
        }
        (Value::Array(actual), Value::Array(example)) if actual.len() == example.len() => {
            actual.iter().zip(example).all(|(actual, example)| looks_like(actual, example))
        }
        (Value::Array(actual), Value::Array(example)) => {
            !example.is_empty() && actual.iter().all(|actual| looks_like(actual, &example[0]))
        }
        (Value::String(_), Value::String(example)) if example.contains('…') => true,
        (Value::Number(_), Value::Number(_) | Value::Null) => true,
        _ => actual == example,
    }
}

#[test]
fn every_method_is_described_and_its_example_is_true() {
    let credentials = [("alice", "operator", "*"), ("kitchen-pi", "node", ""), ("hall-pi", "node", "")];
    let gateway = TestGateway::start(&credentials, "");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    let mut ended = gateway.connect("hall-pi");
    ended.client.close();
    gateway.wait_for_clients(2);
    let descriptions = descriptions();
    let mut names: Vec<_> = descriptions.iter().map(|method| method.name).collect();
    names.sort_unstable();
    assert_eq!(alice.call("gateway.methods", json!({})), json!(names));
    for Description { name, params, result, .. } in descriptions {
        let params: Value = serde_json::from_str(&params.to_string().replace("$CONN_ID", &node.conn_id)).unwrap();
        let answer = match name {
            "node.announce" => node.call(name, params),
            "node.invoke" => {
                let id = alice.request(name, params);
                let request = loop {
                    // The notification of another example may come first.
                    let request = node.next_message();
                    if request.get("id").is_some() {
                        break request;
                    }
                };
                node.respond(&request, request["params"].clone());
                alice.response(id)["result"].take()
            }
            _ => alice.call(name, params),
        };
        assert!(looks_like(&answer, &result), "{name}: {answer} isn't like {result}");
    }
}

#[test]
fn caller_without_scopes_gets_an_error_that_names_the_described_scope() {
    let gateway = TestGateway::start(&[("bob", "operator", "")], "");
    let mut bob = gateway.connect("bob");
    for Description { name, scope, params, .. } in descriptions() {
        let id = bob.request(name, params);
        let error = &bob.response(id)["error"];
        match code_spans(scope).next() {
            Some(scope) => assert_eq!(error["data"]["scope"], scope, "{name}: {error}"),
            None => assert!(error["data"].get("scope").is_none(), "{name}: {error}"),
        }
        assert_eq!(error.is_null(), scope == "none", "{name}: {error}");
    }
}

#[test]
fn methods_of_the_readme_are_those_of_the_protocol_with_their_scopes() {
    let rows = table(README, "| method | scope | |");
    let rows = rows.iter().map(|row| (row[0].trim_matches('`'), code_spans(row[1]).next()));
    let described = descriptions();
    let described = described.iter().map(|method| (method.name, code_spans(method.scope).next()));
    assert_eq!(rows.collect::<Vec<_>>(), described.collect::<Vec<_>>());
}

#[test]
fn every_http_path_of_the_documents_is_served() {
    let gateway =
        TestGateway::start(&[("alice", "operator", "*"), ("kitchen-pi", "node", ""), ("hall-pi", "node", "")], "");
    let _called = gateway.connect("kitchen-pi");
    let rows = [table(PROTOCOL, "| request | method |"), table(README, "| HTTP | |")].concat();
    let requests: Vec<_> = rows.iter().flat_map(|row| code_spans(row[0])).collect();
    assert!(requests.len() >= 18, "{requests:?}");
    for request in requests {
        let (method, path) = request.split_once(' ').expect("method and path");
        // A new client for each request, because some requests disconnect it.
        let client = gateway.connect("hall-pi");
        let path = path.replace("{conn_id}", &client.conn_id).replace("{topic}", "news");
        // Without the confirmation it is only a dry run.
        let path = path.replace("{presence_key}", "node:kitchen-pi").replace("&confirm=true", "");
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n", gateway.bearer("alice"));
        let (head, body) = exchange(&mut gateway.tcp(), &(head + "Connection: close\r\nContent-Length: 0\r\n\r\n"));
        let expected = match (method, &*path) {
            // The members of the body, or a filter, are missing.
            ("POST", _) | ("DELETE", "/clients") => "400",
            (_, "/ws") => "426",
            _ => "200",
        };
        assert_eq!(head.split(' ').nth(1), Some(expected), "{method} {path}: {body}");
    }
}

#[test]
fn every_close_reason_has_its_code_and_advice() {
    let rows = table(PROTOCOL, "| reason | code | when | what the client should do |");
    let listed: Vec<_> = rows.iter().map(|row| (row[0].trim_matches('`'), row[1].parse().unwrap())).collect();
    let reasons: Vec<_> = CloseReason::ALL.iter().map(|reason| (reason.label(), reason.code())).collect();
    assert_eq!(listed, reasons);
    for row in &rows {
        let expected = match row[1].parse().unwrap() {
            1000 | 1001 => "nothing",
            4000..4100 => "stop",
            4200..4300 => "reconnect at once",
            _ => "reconnect after a",
        };
        assert!(row[3].contains(expected), "{row:?}");
    }
}

#[test]
fn every_key_of_status_is_explained() {
    let status = section(OPERATION, "## Status");
    let is_explained = |text, name: &str| {
        code_spans(text)
            .any(|span: &str| span == name || span.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')))
    };
    let assert_explained = |name: &str| assert!(is_explained(status, name), "{name} of /status isn't explained");
    let gateway = Gateway::start("");
    for (key, value) in gateway.status().as_object().unwrap() {
        match value.as_object().filter(|_| key != "closed_total") {
            Some(fields) => fields.iter().for_each(|(field, value)| {
                assert_explained(field);
                for (label, _) in value.as_object().into_iter().flatten() {
                    // The codes of failed handshakes are in a table of their own.
                    let is_code = field == "failed" && is_explained(section(PROTOCOL, "## Connect"), label);
                    assert!(is_code || is_explained(status, label), "{field}.{label} of /status isn't explained");
                }
            }),
            None => assert_explained(key),
        }
    }
}
