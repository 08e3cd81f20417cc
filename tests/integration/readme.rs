//! The README names everything that a user can meet.

use crate::common::Gateway;
use crate::common::fleet::Fleet;
use serde_json::{Value, json};

const README: &str = include_str!("../../README.md");

fn assert_named(what: &str, name: &str) {
    assert!(README.contains(&format!("{name}`")), "README.md doesn't name the {what} {name}");
}

#[test]
fn every_setting_is_in_the_table() {
    let mut section = String::new();
    let mut settings = 0;
    for line in include_str!("../../systemd/config.toml").lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_matches(['[', ']']));
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            assert!(README.contains(&format!("| `{section}{key}`")), "README.md has no row for {section}{key}");
            settings += 1;
        }
    }
    assert!(settings >= 31, "{settings}");
}

#[test]
fn every_key_of_status_is_explained() {
    let gateway = Gateway::start("");
    let status = gateway.status();
    for (key, value) in status.as_object().unwrap() {
        let labels = ["failed", "timed_out"];
        match value {
            Value::Object(fields) if key != "closed_total" => {
                for (field, value) in fields {
                    let short = field.strip_prefix("round_trip_p99").map_or(&**field, |_| "_p99_");
                    assert!(README.contains(short), "README.md doesn't explain {key}.{field}");
                    let inner = value.as_object().filter(|_| labels.contains(&&**field));
                    inner.into_iter().flatten().for_each(|(label, _)| assert_named("label", label));
                }
            }
            _ => assert_named("key", key),
        }
    }
}

/// A row of the table of methods: its name, its scope, and its example, params and result.
fn rows() -> Vec<(&'static str, &'static str, Value, Value)> {
    let table = README.split("| method | scope | does | example |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [method, scope, .., example] = &cells[..] else { panic!("a short row: {row}") };
        let json =
            |text: &str| serde_json::from_str(text.trim_matches('`')).unwrap_or_else(|error| panic!("{error}: {text}"));
        let (params, result) = example.split_once(" → ").unwrap_or_else(|| panic!("no example: {row}"));
        (method.trim_matches('`'), *scope, json(params), json(result))
    })
    .collect()
}

/// Whether a result looks like the example: the same members, and the same texts but for those with an ellipsis.
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
fn every_method_is_in_the_table_and_does_what_its_example_shows() {
    let who = [("alice", "operator", "*"), ("kitchen-pi", "node", ""), ("hall-pi", "node", "")];
    let fleet = Fleet::start(&who, "");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    let mut gone = fleet.connect("hall-pi");
    gone.client.socket.close(None).unwrap();
    while gone.client.socket.read().is_ok() {}
    fleet.gateway.wait_for_clients(2);
    let rows = rows();
    let mut methods: Vec<_> = rows.iter().map(|(method, ..)| Value::from(*method)).collect();
    methods.sort_by_key(Value::to_string);
    assert_eq!(alice.call("gateway.methods", json!({})), Value::Array(methods));
    for (method, _, params, result) in rows {
        let params: Value = serde_json::from_str(&params.to_string().replace("$CONN_ID", &node.conn_id)).unwrap();
        let answer = match method {
            "node.announce" => node.call(method, params),
            "node.invoke" => {
                let id = alice.ask(method, params);
                let request = loop {
                    // The notification of another example came before it.
                    let request = node.next();
                    if request.get("id").is_some() {
                        break request;
                    }
                };
                node.respond(&request, request["params"].clone());
                alice.answer(id)["result"].take()
            }
            _ => alice.call(method, params),
        };
        assert!(looks_like(&answer, &result), "{method}: {answer} isn't like {result}");
    }
}

#[test]
fn scopes_are_those_of_the_table() {
    let fleet = Fleet::start(&[("nobody", "operator", "")], "");
    let mut nobody = fleet.connect("nobody");
    for (method, scope, params, _) in rows() {
        let id = nobody.ask(method, params);
        let error = &nobody.answer(id)["error"];
        match scope.strip_prefix('`').and_then(|scope| scope.split('`').next()) {
            Some(scope) => assert_eq!(error["data"]["scope"], scope, "{method}: {error}"),
            None => assert!(error["data"].get("scope").is_none(), "{method}: {error}"),
        }
        assert_eq!(error.is_null() || scope.contains("nodes only"), !scope.starts_with('`'), "{method}: {error}");
    }
}
