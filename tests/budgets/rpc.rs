//! What JSON-RPC adds: nothing to clients that don't use it, and nothing that stays when they have used it.

use crate::bound::assert_at_most;
use crate::clients::{connect, connect_all, connect_as};
use crate::common::frames::{FIN, RawClient, TEXT, frame};
use crate::serve::{NODES, node_token};
use crate::server::Server;
use serde_json::{Value, json};
use std::thread;

const CONNECTIONS: usize = 1_000;

/// For each connection, beside the same on a gateway that only sends messages back; behind it, what it was when recorded.
const ADDED_BYTES: f64 = 16.0; // 0.0
/// For each subscriber, after a thousand events: more than before them.
const EVENT_BYTES: f64 = 48.0; // 0.0; a buffer of a thread's may have grown, by 33 at most
/// After ten thousand calls: more than before them, for each call.
const CALL_BYTES: f64 = 5.0; // 0.6; the same
/// For each event and subscriber.
const EVENT_ALLOCATIONS: f64 = 2.5;

fn say(client: &mut RawClient, message: &Value) {
    client.send(&client_frame(FIN | TEXT, message.to_string().as_bytes()));
}

fn hear(client: &mut RawClient) -> Value {
    let (_, text) = client.receive().expect("an open connection");
    serde_json::from_slice(&text).expect("JSON")
}

fn call(client: &mut RawClient, method: &str, params: Value) -> Value {
    say(client, &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
    let answer = hear(client);
    assert!(answer.get("result").is_some(), "{method}: {answer}");
    answer["result"].clone()
}

/// Bytes for each of the connections, once somebody has been there before.
fn idle_bytes(mut server: Server) -> f64 {
    drop(connect_all(&mut server, CONNECTIONS));
    let empty = server.stock_when("/clients/total_connections", 0);
    let clients = connect_all(&mut server, CONNECTIONS);
    let full = server.stock();
    drop(clients);
    server.end();
    (full.live_bytes as f64 - empty.live_bytes as f64) / CONNECTIONS as f64
}

#[test]
fn who_uses_none_of_it_takes_nothing_for_it() {
    // So many that the records of those who left before don't grow any more.
    let [raw, rpc] = [idle_bytes(Server::start()), idle_bytes(Server::start_rpc())];
    assert_at_most(ADDED_BYTES, "bytes that JSON-RPC adds to an idle client", rpc - raw);
}

#[test]
fn a_thousand_events_to_a_thousand_leave_nothing() {
    const EVENTS: usize = 1_000;
    let mut server = Server::start_rpc();
    let mut publisher = connect(&server);
    let mut subscribers: Vec<RawClient> = (0..CONNECTIONS).map(|_| connect(&server)).collect();
    for subscriber in &mut subscribers {
        call(subscriber, "gateway.subscribe", json!({"topics": ["figures"]}));
    }
    let publish = |from: usize, publisher: &mut RawClient, subscribers: &mut [RawClient]| {
        thread::scope(|scope| {
            for part in subscribers.chunks_mut(CONNECTIONS / 4) {
                scope.spawn(move || {
                    for seq in from..from + EVENTS {
                        for subscriber in &mut *part {
                            let event = hear(subscriber);
                            assert_eq!((&event["params"]["seq"], &event["params"]["data"]), (&json!(seq), &json!(seq)));
                        }
                    }
                });
            }
            for seq in from..from + EVENTS {
                let queued = call(publisher, "gateway.publish", json!({"topic": "figures", "data": seq}));
                assert_eq!(queued["queued"], CONNECTIONS);
            }
        });
    };
    publish(1, &mut publisher, &mut subscribers);
    let before = server.stock_when("/outbox/bytes_queued", 0);
    publish(1 + EVENTS, &mut publisher, &mut subscribers);
    let after = server.stock_when("/outbox/bytes_queued", 0);
    let more = after.live_bytes as f64 - before.live_bytes as f64;
    assert_at_most(EVENT_BYTES, "bytes kept for a subscriber after a thousand events", more / CONNECTIONS as f64);
    let allocations = (after.allocations - before.allocations) as f64 / (EVENTS * CONNECTIONS) as f64;
    assert_at_most(EVENT_ALLOCATIONS, "allocations for an event to one of a thousand", allocations);
    server.end();
}

#[test]
fn ten_thousand_calls_at_once_leave_nothing() {
    const CALLERS: usize = 10;
    let mut server = Server::start_rpc();
    let mut nodes: Vec<RawClient> = (0..NODES).map(|index| connect_as(&server, &node_token(index))).collect();
    let mut callers: Vec<RawClient> = (0..CALLERS).map(|_| connect(&server)).collect();
    let round = |server: &mut Server, nodes: &mut [RawClient], callers: &mut [RawClient]| {
        for caller in &mut *callers {
            for id in 0..1_000 {
                let target = format!("node:n{}", id % NODES);
                let params = json!({"target": target, "method": "x", "params": [id], "timeout": 3600});
                say(caller, &json!({"jsonrpc": "2.0", "id": id, "method": "node.invoke", "params": params}));
            }
        }
        let calls = 1_000 * CALLERS;
        let under_way = server.stock_when("/calls/in_flight", calls);
        for node in &mut *nodes {
            let mut requests: Vec<_> = (0..calls / NODES).map(|_| hear(node)).collect();
            requests.reverse();
            for request in requests {
                say(node, &json!({"jsonrpc": "2.0", "id": request["id"], "result": request["params"][0]}));
            }
        }
        for caller in callers {
            for _ in 0..1_000 {
                let answer = hear(caller);
                assert_eq!(answer["result"], answer["id"]);
            }
        }
        (under_way, server.stock_when("/calls/in_flight", 0))
    };
    let (_, before) = round(&mut server, &mut nodes, &mut callers);
    let (under_way, after) = round(&mut server, &mut nodes, &mut callers);
    let each = |bytes: usize| (bytes as f64 - before.live_bytes as f64) / 10_000.0;
    println!("bytes for a call under way: {:.0}", each(under_way.live_bytes));
    assert_at_most(CALL_BYTES, "bytes kept for a call that has ended", each(after.live_bytes));
    server.end();
}
