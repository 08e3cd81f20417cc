//! Presence: `joined` and `left` events, `node.list`, and the policies of `[presence]`.

use crate::common::test_gateway::{RpcClient, TestGateway};
use crate::common::wait_until;
use serde_json::{Value, json};

const CREDENTIALS: &[(&str, &str, &str)] =
    &[("alice", "operator", "*"), ("bob", "operator", ""), ("kitchen-pi", "node", ""), ("one", "sensor", "")];

/// Sequence number, event and presence key of the next message, which must be a presence event.
fn next_event(client: &mut RpcClient) -> (u64, String, String) {
    let event = client.next_message();
    let (params, data) = (&event["params"], &event["params"]["data"]);
    assert_eq!(params["topic"], "presence", "{event}");
    let text = |name: &str| data[name].as_str().unwrap().to_owned();
    assert_eq!(data.get("reason").is_some(), text("event") == "left", "only `left` says why: {event}");
    (params["seq"].as_u64().unwrap(), text("event"), text("presence_key"))
}

#[test]
fn first_client_of_a_key_joins_and_last_leaves_and_a_replacement_is_no_event() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut alice = gateway.connect("alice");
    alice.call("gateway.subscribe", json!({"topics": ["presence"]}));
    let mut first = gateway.connect("kitchen-pi");
    let joined = |seq, key: &str| (seq, "joined".to_owned(), key.to_owned());
    let left = |seq, key: &str| (seq, "left".to_owned(), key.to_owned());
    assert_eq!(next_event(&mut alice), joined(1, "node:kitchen-pi"));
    let mut second = gateway.connect("kitchen-pi");
    assert_eq!(first.client.wait_for_close(), (4001, "replaced".to_owned()));
    let bobs = [gateway.connect("bob"), gateway.connect("bob")];
    assert_eq!(next_event(&mut alice), joined(2, "operator:bob"));
    drop(bobs);
    assert_eq!(next_event(&mut alice), left(3, "operator:bob"));
    // The second client is still connected.
    let nodes = alice.call("node.list", json!({}));
    assert_eq!((&nodes["nodes"][0]["conn_id"], &nodes["nodes"][1]), (&json!(second.conn_id), &Value::Null));
    assert_eq!(second.call("gateway.ping", json!({})), "pong");
    drop(second);
    assert_eq!(next_event(&mut alice), left(4, "node:kitchen-pi"));
    assert_eq!(alice.call("node.list", json!({}))["nodes"], json!([]));
    let mut third = gateway.connect("kitchen-pi");
    assert_eq!(next_event(&mut alice), joined(5, "node:kitchen-pi"));
    third.client.close();
    assert_eq!(alice.next_message()["params"]["data"]["reason"], "normal");
}

#[test]
fn clients_that_replace_each_other_in_a_loop_are_damped() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut connected = vec![gateway.connect("kitchen-pi")];
    // The count starts anew with each minute, of which the test may see the end of one.
    let refused = (0..30).find_map(|_| match gateway.try_connect("kitchen-pi") {
        Ok(client) => {
            connected.push(client);
            None
        }
        Err(error) => Some(error),
    });
    let tungstenite::Error::Http(response) = refused.expect("a refusal") else { panic!("not an HTTP response") };
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (409, &"60".parse().unwrap()));
    assert!((11..=21).contains(&connected.len()), "{}", connected.len());
    // The connected one stays.
    assert_eq!(connected.last_mut().unwrap().call("gateway.ping", json!({})), "pong");
    let loops = |line: &str| line.contains("replace each other in a loop") && line.contains("node:kitchen-pi");
    let _ = gateway.try_connect("kitchen-pi");
    gateway.wait_for_line("the warning", loops);
    assert!(gateway.log().iter().filter(|line| loops(line)).count() <= 2);
    assert!(gateway.try_connect("alice").is_ok(), "other keys aren't affected");
}

#[test]
fn closing_client_has_left_although_its_close_takes_long() {
    let gateway = TestGateway::start(CREDENTIALS, "[presence]\nsensor = \"reject\"\n[limits]\nclose_timeout = \"1h\"");
    let mut alice = gateway.connect("alice");
    alice.call("gateway.subscribe", json!({"topics": ["presence"]}));
    let nodes = |alice: &mut RpcClient| alice.call("node.list", json!({}))["nodes"].take();
    // The first client isn't read from, so it never answers the close frame.
    let first = gateway.connect("kitchen-pi");
    let mut second = gateway.connect("kitchen-pi");
    let listed = nodes(&mut alice);
    assert_eq!((&listed[0]["conn_id"], &listed[0]["connections"]), (&json!(second.conn_id), &json!(1)));
    second.client.close();
    assert_eq!(next_event(&mut alice).1, "joined");
    assert_eq!(next_event(&mut alice), (2, "left".to_owned(), "node:kitchen-pi".to_owned()));
    assert_eq!(nodes(&mut alice), json!([]));
    let one = alice.call("clients.get", json!({"conn_id": first.conn_id}));
    assert_eq!(one["health"], "closing");
    // A kicked client has left as well, so another one with its presence key is accepted.
    let kicked = gateway.connect("one");
    assert_eq!(next_event(&mut alice).1, "joined");
    alice.call("clients.disconnect", json!({"conn_id": kicked.conn_id}));
    assert_eq!(next_event(&mut alice), (4, "left".to_owned(), "sensor:one".to_owned()));
    let _next = gateway.connect("one");
    assert_eq!(next_event(&mut alice).1, "joined");
    assert_eq!(alice.call("clients.list", json!({"role": "sensor"}))["clients"].as_array().unwrap().len(), 2);
    assert_eq!(
        alice.call("clients.list", json!({"presence_key": "sensor:one"}))["clients"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn policies_allow_replace_or_reject_a_second_client() {
    let gateway =
        TestGateway::start(CREDENTIALS, "[presence]\nsensor = \"reject\"\nnode = \"allow\"\noperator = \"replace\"");
    let one = gateway.connect("one");
    let Err(tungstenite::Error::Http(response)) = gateway.try_connect("one") else {
        panic!("two clients with one presence key")
    };
    assert_eq!(response.status(), 409);
    assert!(std::str::from_utf8(response.body().as_deref().unwrap()).unwrap().contains("presence_taken"));
    assert_eq!(gateway.status()["handshakes"]["failed"]["presence_taken"], 1);
    drop(one);
    wait_until("a free presence key", || gateway.try_connect("one").is_ok());
    let (_first, _second) = (gateway.connect("kitchen-pi"), gateway.connect("kitchen-pi"));
    let mut alice = gateway.connect("alice");
    assert_eq!(alice.call("node.list", json!({}))["nodes"][0]["connections"], 2);
    let _other = gateway.connect("alice");
    assert_eq!(alice.client.wait_for_close(), (4001, "replaced".to_owned()));
}
