//! The memory that JSON-RPC adds: none for clients that don't use it, and none that remains after use.

use crate::bound::assert_at_most;
use crate::clients::{connect, connect_all, connect_with};
use crate::common::raw_client::RawClient;
use crate::serve::{NODES, Protocol, node_token};
use crate::server::Server;
use serde_json::{Value, json};
use std::thread;
use test_support::frames::{FIN, TEXT, client_frame};

const CONNECTIONS: usize = 1_000;

/// For each idle connection, compared with the echo server. The recorded counts are in the comments.
const ADDED_BYTES: f64 = 16.0; // 0.0
/// Growth for each subscriber by a thousand events.
const EVENT_BYTES: f64 = 48.0; // 0.0; a thread's buffer may grow, by 33 at most
/// Growth for each of ten thousand calls.
const CALL_BYTES: f64 = 5.0; // 0.6; as above
/// For each event and subscriber.
const EVENT_ALLOCATIONS: f64 = 2.5;

fn send(client: &mut RawClient, message: &Value) {
    client.send(&client_frame(FIN | TEXT, message.to_string().as_bytes()));
}

fn receive(client: &mut RawClient) -> Value {
    let (_, text) = client.receive().expect("an open connection");
    serde_json::from_slice(&text).expect("JSON")
}

fn call(client: &mut RawClient, method: &str, params: Value) -> Value {
    send(client, &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
    let answer = receive(client);
    assert!(answer.get("result").is_some(), "{method}: {answer}");
    answer["result"].clone()
}

/// Bytes for each idle connection, after the same number has connected and disconnected once.
fn idle_bytes(mut server: Server) -> f64 {
    drop(connect_all(&mut server, CONNECTIONS));
    let empty = server.snapshot_when("/clients/total_connections", 0);
    let clients = connect_all(&mut server, CONNECTIONS);
    let full = server.snapshot();
    drop(clients);
    server.stop();
    (full.live_bytes as f64 - empty.live_bytes as f64) / CONNECTIONS as f64
}

#[test]
fn idle_client_takes_no_memory_for_rpc() {
    // After the first round the history of closed clients is full, so it doesn't grow in the second.
    let [raw, rpc] = [Protocol::Echo, Protocol::Rpc].map(|protocol| idle_bytes(Server::start(protocol)));
    assert_at_most(ADDED_BYTES, "bytes that JSON-RPC adds to an idle client", rpc - raw);
}

#[test]
fn events_leave_no_memory_behind() {
    const EVENTS: usize = 1_000;
    let mut server = Server::start(Protocol::Rpc);
    let mut publisher = connect(&server);
    let mut subscribers: Vec<RawClient> = (0..CONNECTIONS).map(|_| connect(&server)).collect();
    for subscriber in &mut subscribers {
        call(subscriber, "gateway.subscribe", json!({"topics": ["figures"]}));
    }
    let publish = |from: usize, publisher: &mut RawClient, subscribers: &mut [RawClient]| {
        thread::scope(|scope| {
            for share in subscribers.chunks_mut(CONNECTIONS / 4) {
                scope.spawn(move || {
                    for seq in from..from + EVENTS {
                        for subscriber in &mut *share {
                            let event = receive(subscriber);
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
    let before = server.snapshot_when("/outbox/bytes_queued", 0);
    publish(1 + EVENTS, &mut publisher, &mut subscribers);
    let after = server.snapshot_when("/outbox/bytes_queued", 0);
    let growth = after.live_bytes as f64 - before.live_bytes as f64;
    assert_at_most(EVENT_BYTES, "bytes kept for a subscriber after a thousand events", growth / CONNECTIONS as f64);
    let allocations = (after.allocations - before.allocations) as f64 / (EVENTS * CONNECTIONS) as f64;
    assert_at_most(EVENT_ALLOCATIONS, "allocations per event and subscriber", allocations);
    server.stop();
}

#[test]
fn ten_thousand_concurrent_calls_leave_no_memory_behind() {
    const CALLERS: usize = 10;
    let mut server = Server::start(Protocol::Rpc);
    let mut nodes: Vec<RawClient> = (0..NODES).map(|index| connect_with(&server, &node_token(index))).collect();
    let mut callers: Vec<RawClient> = (0..CALLERS).map(|_| connect(&server)).collect();
    let round = |server: &mut Server, nodes: &mut [RawClient], callers: &mut [RawClient]| {
        for caller in &mut *callers {
            for id in 0..1_000 {
                let target = format!("node:n{}", id % NODES);
                let params = json!({"target": target, "method": "x", "params": [id], "timeout": 3600});
                send(caller, &json!({"jsonrpc": "2.0", "id": id, "method": "node.invoke", "params": params}));
            }
        }
        let calls = 1_000 * CALLERS;
        let in_flight = server.snapshot_when("/calls/in_flight", calls);
        for node in &mut *nodes {
            let mut requests: Vec<_> = (0..calls / NODES).map(|_| receive(node)).collect();
            requests.reverse();
            for request in requests {
                send(node, &json!({"jsonrpc": "2.0", "id": request["id"], "result": request["params"][0]}));
            }
        }
        for caller in callers {
            for _ in 0..1_000 {
                let answer = receive(caller);
                assert_eq!(answer["result"], answer["id"]);
            }
        }
        (in_flight, server.snapshot_when("/calls/in_flight", 0))
    };
    let (_, before) = round(&mut server, &mut nodes, &mut callers);
    let (in_flight, after) = round(&mut server, &mut nodes, &mut callers);
    let each = |bytes: usize| (bytes as f64 - before.live_bytes as f64) / 10_000.0;
    println!("bytes for a call in flight: {:.0}", each(in_flight.live_bytes));
    assert_at_most(CALL_BYTES, "bytes kept for a call that has ended", each(after.live_bytes));
    server.stop();
}
