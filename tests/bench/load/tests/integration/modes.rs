//! Every mode and dialect against a correct server.

use crate::server::{BINARY, Connection, FINAL_CLOSE, PING, PONG, TEXT, echo, load, websocket};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// The option for the server's process, which is this one.
fn pid_option() -> String {
    format!("--pid {}", std::process::id())
}

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or_else(|| panic!("{name} is no number in {report}"))
}

#[test]
fn echo_reports_messages_and_latencies() {
    let options = format!("echo --connections 5 --seconds 2 --warmup 0.1 --busy {}", pid_option());
    let report = load(echo(), &options).report();
    assert_eq!(report["connections"], 5);
    assert!(number(&report, "messages") >= 5.0 && number(&report, "seconds") >= 2.0);
    let latency = &report["latency_microseconds"];
    let quantiles = ["p50", "p90", "p99", "p99.9", "max"].map(|name| number(latency, name));
    assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{latency}");
}

#[test]
fn echo_keeps_depth_messages_outstanding() {
    let addr = websocket(|mut connection| {
        let mut waiting = Vec::new();
        connection.serve(|connection, text| {
            waiting.push(text);
            // None is answered before all seven have arrived.
            if waiting.len() == 7 {
                waiting.drain(..).for_each(|text| connection.send(TEXT, &text));
            }
        });
    });
    let report = load(addr, "echo --connections 3 --depth 7 --seconds 2 --warmup 0 --size 200").report();
    assert!(number(&report, "messages") >= 21.0, "{report}");
    assert!(report["server_cpu_microseconds_per_message"].is_null());
}

#[test]
fn rpc_requests_are_answered_by_id() {
    let addr = websocket(|mut connection| {
        connection.serve(|connection, text| {
            let request: Value = serde_json::from_slice(&text).expect("a request");
            assert_eq!((&request["jsonrpc"], &request["method"]), (&"2.0".into(), &"gateway.echo".into()));
            assert!(text.len() >= 300);
            let response = serde_json::json!({"jsonrpc": "2.0", "result": request["params"], "id": request["id"]});
            connection.send(TEXT, response.to_string().as_bytes());
        });
    });
    for depth in [1, 5] {
        let options = format!("echo --dialect rpc --size 300 --depth {depth} --connections 4 --seconds 2 --warmup 0.1");
        assert!(number(&load(addr, &options).report(), "messages") > 4.0);
    }
}

#[test]
fn broadcast_round_ends_when_all_have_received_it() {
    for size in [1, 64, 200_000] {
        let options = format!("fanout --connections 9 --rounds 4 --size {size} {}", pid_option());
        let report = load(echo(), &options).report();
        assert_eq!(report["deliveries"], 40);
        assert!(number(&report["round_microseconds"], "median") > 0.0, "{report}");
    }
}

/// A count of publications that subscribers wait for.
type Published = Arc<(Mutex<u64>, Condvar)>;

fn publish(published: &Published) {
    *published.0.lock().unwrap() += 1;
    published.1.notify_all();
}

/// Calls `send` for each publication, as it happens.
fn deliver(published: &Published, connection: &mut Connection, send: impl Fn(&mut Connection, u64)) {
    for next in 1.. {
        drop(published.1.wait_while(published.0.lock().unwrap(), |count| *count < next).unwrap());
        send(connection, next);
    }
}

/// A server with one topic. `seq` maps the number of an event, from 1, to the `seq` that is sent.
fn rpc_topic(seq: fn(u64) -> u64) -> SocketAddr {
    let published = Published::default();
    websocket(move |mut connection| {
        while let Some((_, text)) = connection.receive() {
            connection.send(TEXT, br#"{"jsonrpc":"2.0","result":1,"id":1}"#);
            if String::from_utf8(text).unwrap().contains("gateway.publish") {
                publish(&published);
                continue;
            }
            deliver(&published, &mut connection, |connection, number| {
                let params = format!(r#"{{"topic":"figures","seq":{}}}"#, seq(number));
                connection.send(TEXT, format!(r#"{{"method":"gateway.event","params":{params}}}"#).as_bytes());
            });
        }
    })
}

#[test]
fn rpc_events_are_received_in_order() {
    for depth in [1, 5] {
        let options =
            format!("fanout --dialect rpc --connections 7 --rounds 3 --depth {depth} --size 50 {}", pid_option());
        let report = load(rpc_topic(|seq| seq), &options).report();
        assert_eq!(report["deliveries"], 21 * depth);
    }
    let skipping = rpc_topic(|seq| if seq == 2 { 3 } else { seq });
    load(skipping, "fanout --dialect rpc --connections 2").fails_with("an event out of order");
}

/// A NATS server that splits each command over two messages.
fn nats() -> SocketAddr {
    fn send(connection: &mut Connection, command: &str) {
        let (head, tail) = command.split_at(command.len() / 2);
        connection.send(BINARY, head.as_bytes());
        connection.send(BINARY, tail.as_bytes());
    }
    let published = Published::default();
    websocket(move |mut connection| {
        send(&mut connection, "INFO {\"server_id\":\"test\"}\r\nPING\r\n");
        while let Some((first, commands)) = connection.receive() {
            let commands = String::from_utf8(commands).unwrap();
            if first == FINAL_CLOSE || commands == "PONG\r\n" {
                continue;
            }
            if commands.starts_with("PUB figures 3\r\nabc\r\n") {
                publish(&published);
                continue;
            }
            assert!(commands.starts_with("CONNECT {") && commands.ends_with("PING\r\n"), "{commands}");
            send(&mut connection, "PONG\r\n");
            if commands.contains("SUB figures 1\r\n") {
                deliver(&published, &mut connection, |connection, _| send(connection, "MSG figures 1 3\r\nabc\r\n"));
            }
        }
    })
}

#[test]
fn nats_subscribers_receive_publications() {
    let report = load(nats(), "fanout --dialect nats --path / --connections 4 --rounds 3 --size 3").report();
    assert_eq!(report["deliveries"], 12, "{report}");
    let report = load(nats(), "hold --dialect nats --connections 4 --seconds 0").report();
    assert_eq!(report["opened"], 4, "{report}");
}

#[test]
fn nchan_subscribers_receive_publications() {
    let published = Published::default();
    let addr = websocket(move |mut connection| {
        if connection.request.starts_with("GET /publish ") {
            return connection.serve(|connection, text| {
                assert_eq!(text, b"abc");
                publish(&published);
                connection.send(TEXT, b"queued messages: 1\r\nactive subscribers: 4");
            });
        }
        deliver(&published, &mut connection, |connection, _| connection.send(TEXT, b"abc"));
    });
    let options = "fanout --dialect nchan --publish-path /publish --connections 4 --rounds 3 --size 3";
    assert_eq!(load(addr, options).report()["deliveries"], 12);
}

#[test]
fn pings_are_counted_and_answered_with_their_payload() {
    let answered = Arc::new(AtomicUsize::new(0));
    let counter = answered.clone();
    let addr = websocket(move |mut connection| {
        for number in (0..=u8::MAX).cycle() {
            let payload = [number; 11];
            connection.send(PING, &payload);
            match connection.receive() {
                Some(pong) => assert_eq!(pong, (PONG, payload.into())),
                None => return,
            }
            counter.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_millis(5));
        }
    });
    let report = load(addr, "hold --connections 4 --seconds 2").report();
    let pings = number(&report, "pings");
    assert!(pings > 4.0 && pings <= answered.load(SeqCst) as f64 + 4.0, "{report}");
    assert_eq!(report["lost"], 0);
}

#[test]
fn handshakes_end_with_a_close_handshake() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = ended.clone();
    let addr = websocket(move |mut connection| {
        assert!(connection.request.starts_with("GET /other HTTP/1.1\r\n"), "{}", connection.request);
        assert!(connection.request.contains("\r\nAuthorization: Bearer secret\r\n"), "{}", connection.request);
        let close = connection.receive().expect("a close frame");
        assert_eq!(close, (FINAL_CLOSE, vec![3, 0xe8]));
        connection.send(close.0, &close.1);
        counter.fetch_add(1, SeqCst);
    });
    let report = load(addr, "handshake --connections 4 --seconds 2 --warmup 0 --path /other --token secret").report();
    let handshakes = number(&report, "handshakes");
    assert!(handshakes > 4.0 && handshakes <= ended.load(SeqCst) as f64, "{report}");
    assert_eq!(report["lost"], 0);
}

/// Both runs in parallel, since they sleep most of the time.
#[test]
fn memory_of_held_connections_is_measured() {
    thread::scope(|scope| {
        for options in ["", "--at-once"] {
            scope.spawn(move || {
                let report =
                    load(echo(), &format!("hold --connections 50 --seconds 0.1 {} {options}", pid_option())).report();
                assert_eq!((&report["opened"], &report["open_when_measured"]), (&50.into(), &50.into()), "{report}");
                assert!(number(&report, "resident_bytes_before") > 0.0, "{report}");
                assert!(report["resident_bytes_per_connection"].is_number(), "{report}");
                assert!(report["resident_bytes_per_connection_after_closing"].is_number(), "{report}");
                let is_opening = report["server_cpu_microseconds_per_handshake"].is_number();
                assert_eq!(is_opening, options == "--at-once", "{report}");
            });
        }
    });
}
