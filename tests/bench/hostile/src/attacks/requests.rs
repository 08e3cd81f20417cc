//! Requests that cost the gateway more than the attacker, and texts that aren't requests.

use super::{Attack, FEW, Group, MAX_MESSAGE, Reading, Script};
use crate::gateway::Credential;
use test_support::frames::{FIN, TEXT, client_frame};

/// Topics of three letters or digits in a message of 1 MiB.
const TOPICS: usize = 170_000;

pub fn all() -> Vec<Attack> {
    let mut attacks = batches();
    attacks.extend(scans());
    attacks.extend(texts());
    attacks.extend(unread_echoes());
    attacks.push(calls_to_a_stalled_node());
    attacks
}

/// A frame with this text.
pub fn text(text: &str) -> Vec<u8> {
    client_frame(FIN | TEXT, text.as_bytes())
}

/// A request.
pub fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

fn batch(requests: &str, count: usize) -> Vec<u8> {
    text(&format!("[{}]", vec![requests; count].join(",")))
}

fn batches() -> Vec<Attack> {
    let plain = |name: &str, frame: Vec<u8>| Attack::flood(name, Credential::Plain, &[], &frame);
    let list = request("clients.list", r#"{"limit":1000}"#);
    vec![
        plain("one subscribe of 170,000 topics", text(&request("gateway.subscribe", &topics(TOPICS)))),
        Attack::flood("batches of 100 clients.list of 1,000", Credential::Reader, &[], &batch(&list, 100)),
        plain("refused batch of 500,000 elements", batch("1", 500_000)),
        plain("batches of 100 pings", batch(&request("gateway.ping", "{}"), 100)),
    ]
}

/// A list of this many different topics.
fn topics(count: usize) -> String {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let digit = |index: usize| char::from(DIGITS[index % DIGITS.len()]);
    let topic = |index: usize| format!("\"{}{}{}\"", digit(index / 62 / 62), digit(index / 62), digit(index));
    let topics: Vec<String> = (0..count).map(topic).collect();
    format!(r#"{{"topics":[{}]}}"#, topics.join(","))
}

/// Searches among all clients, and lookups.
fn scans() -> Vec<Attack> {
    let reader = |name: &str, method: &str, params: &str| {
        Attack::flood(name, Credential::Reader, &[], &text(&request(method, params)))
    };
    vec![
        reader(
            "clients.list that matches none",
            "clients.list",
            r#"{"address":"203.0.113.0/24","sort":"presence_key"}"#,
        ),
        reader("clients.list, sorted, 1,000 rows", "clients.list", r#"{"sort":"newest","limit":1000}"#),
        reader("clients.get", "clients.get", r#"{"conn_id":"0f8fad5b-d9cb-469f-a165-70867728950e"}"#),
        reader("clients.closed", "clients.closed", r#"{"min_idle_seconds":3600,"limit":1000}"#),
    ]
}

/// Messages that are small, invalid, or hard to parse.
fn texts() -> Vec<Attack> {
    let long = "x".repeat(MAX_MESSAGE - 200);
    let escapes = "\\u00e9\\n\\\"".repeat((MAX_MESSAGE - 200) / 10);
    let members: Vec<String> = (0..70_000).map(|number| format!("\"m{number:05}\":1")).collect();
    let many = format!("{{{}}}", members.join(","));
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let with_id = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"gateway.ping"}}"#);
    let plain = |name: &str, message: &str| Attack::flood(name, Credential::Plain, &[], &text(message));
    vec![
        plain("texts {}", "{}"),
        plain("texts of 1 byte", "x"),
        plain("empty texts", ""),
        plain("unknown methods", &request("no.such.method", "{}")),
        plain("notifications", r#"{"jsonrpc":"2.0","method":"gateway.ping"}"#),
        plain("responses to nothing", r#"{"jsonrpc":"2.0","id":1,"result":1}"#),
        plain("nesting 500,000 deep", &deep(500_000)),
        plain("params nested 100 deep", &request("gateway.echo", &deep(100))),
        plain("ids of 1 MiB", &with_id(&long)),
        plain("echoes of 1 MiB", &request("gateway.echo", &format!("[\"{long}\"]"))),
        plain("echoes of 1 MiB of escapes", &request("gateway.echo", &format!("[\"{escapes}\"]"))),
        plain(
            "publish of 1 MiB of escapes, refused",
            &request("gateway.publish", &format!(r#"{{"topic":"{escapes}"}}"#)),
        ),
        plain("params of 70,000 members", &request("gateway.whoami", &many)),
    ]
}

/// Answers of 1 MiB that wait for clients that read nothing, or little.
fn unread_echoes() -> Vec<Attack> {
    let echo = text(&request("gateway.echo", &format!("[\"{}\"]", "x".repeat(MAX_MESSAGE - 200))));
    let clients = |name, reading| {
        Attack::new(name, [Group::websocket(200, Credential::Plain, Script::flood(&[], &echo).reading(reading))])
    };
    vec![
        clients("200 don't read echoes of 1 MiB", Reading::Nothing),
        clients("200 read echoes of 1 MiB slowly", Reading::Slow),
    ]
}

/// A node that reads nothing, and callers that call it.
fn calls_to_a_stalled_node() -> Attack {
    let params =
        format!(r#"{{"target":"node:stalled","method":"x","params":["{}"],"timeout":0.05}}"#, "x".repeat(4096));
    let call = text(&request("node.invoke", &params));
    Attack::new(
        "calls to a stalled node",
        [
            Group::websocket(1, Credential::Stalled, Script::hold(&[]).reading(Reading::Nothing)),
            Group::websocket(FEW, Credential::Caller, Script::flood(&[], &call)),
        ],
    )
}
