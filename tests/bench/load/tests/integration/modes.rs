//! Every mode against a small server that behaves.

use crate::common::{CLOSE, PING, PONG, Server, TEXT, echo, frame, load, run, websocket};
use serde_json::Value;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// This process, which is the server's too.
fn pid() -> String {
    format!("--pid {}", std::process::id())
}

fn number(json: &Value, name: &str) -> f64 {
    json[name].as_f64().unwrap_or_else(|| panic!("{name} is no number in {json}"))
}

/// What every mode says of the server.
fn has_usage(json: &Value) {
    for name in ["cpu_seconds", "cpu_user_seconds", "cpu_system_seconds", "voluntary_switches", "nonvoluntary_switches"]
    {
        assert!(number(json, name) >= 0.0, "{json}");
    }
    assert!(number(json, "resident_bytes") > 0.0, "{json}");
    assert!(json["private_bytes"].is_null() || number(json, "private_bytes") > 0.0, "{json}");
    assert_eq!(json["traced"], false);
    assert!(json["instructions"].is_null() || json["instructions"]["kernel"].is_u64(), "{json}");
}

/// The server's CPU time for each of so many units. It may be none: the server is this process, whose kernel may count in
/// hundredths of a second.
fn has_cpu_for_each(json: &Value, unit: &str, count: f64) {
    let each = number(json, &format!("server_cpu_microseconds_per_{unit}"));
    let all = number(json, "cpu_seconds") * 1e6;
    assert!(each >= 0.0 && (each * count - all).abs() <= all * 1e-3 + count * 1e-3, "{json}");
}

#[test]
fn echo_counts_messages_and_latencies() {
    let json = load("echo", echo(), &format!("--connections 5 --seconds 2 --warmup 0.1 --busy {}", pid())).json();
    assert_eq!((json["mode"].as_str(), json["connections"].as_u64()), (Some("echo"), Some(5)));
    assert!(number(&json, "messages") >= 5.0 && number(&json, "seconds") >= 2.0);
    let latency = &json["latency_microseconds"];
    let ordered = ["p50", "p90", "p99", "p99.9", "max"].map(|name| number(latency, name));
    assert!(ordered[0] > 0.0 && ordered.is_sorted(), "{latency}");
    has_cpu_for_each(&json, "message", number(&json, "messages"));
    has_usage(&json);
}

#[test]
fn pipelined_has_so_many_outstanding() {
    let addr = websocket(|mut client| {
        let mut waiting = Vec::new();
        client.serve(|client, text| {
            waiting.push(text);
            // Nothing is answered before all seven are there.
            if waiting.len() == 7 {
                waiting.drain(..).for_each(|text| client.write(&frame(TEXT, &text)));
            }
        });
    });
    let json = load("pipelined", addr, "--connections 3 --depth 7 --seconds 2 --warmup 0 --size 200").json();
    assert!(number(&json, "messages") >= 21.0, "{json}");
    assert!(json["cpu_seconds"].is_null() && json["server_cpu_microseconds_per_message"].is_null());
}

#[test]
fn rpc_requests_are_answered_by_id() {
    let addr = websocket(|mut client| {
        client.serve(|client, text| {
            let request: Value = serde_json::from_slice(&text).expect("a request");
            assert_eq!((&request["jsonrpc"], &request["method"]), (&"2.0".into(), &"gateway.echo".into()));
            assert!(text.len() >= 300);
            let answer = serde_json::json!({"jsonrpc": "2.0", "result": request["params"], "id": request["id"]});
            client.write(&frame(TEXT, answer.to_string().as_bytes()));
        });
    });
    for mode in ["echo", "pipelined"] {
        let json = load(mode, addr, "--rpc --size 300 --connections 4 --seconds 2 --warmup 0.1").json();
        assert!(number(&json, "messages") > 4.0, "{json}");
    }
}

#[test]
fn fanout_waits_for_everybody() {
    for size in [1, 64, 200_000] {
        let options = format!("--connections 9 --rounds 4 --size {size} {}", pid());
        let json = load("fanout", echo(), &options).json();
        assert_eq!((json["deliveries"].as_u64(), json["rounds"].as_u64()), (Some(40), Some(4)));
        let times = ["min", "median", "max"].map(|name| number(&json["round_microseconds"], name));
        assert!(times[0] > 0.0 && times.is_sorted(), "{json}");
        has_cpu_for_each(&json, "delivery", 40.0);
    }
}

/// A server with one topic, to which whoever isn't the publisher is subscribed. It numbers events from 1, or by a function.
fn topic(seq: fn(u64) -> u64) -> std::net::SocketAddr {
    let published = Arc::new((Mutex::new(0_u64), Condvar::new()));
    websocket(move |mut client| {
        while let Some((_, text)) = client.receive() {
            let text = String::from_utf8(text).unwrap();
            client.write(&frame(TEXT, br#"{"jsonrpc":"2.0","result":1,"id":1}"#));
            let (count, bell) = &*published;
            if text.contains("gateway.publish") {
                *count.lock().unwrap() += 1;
                bell.notify_all();
                continue;
            }
            assert!(text.contains("gateway.subscribe"), "{text}");
            let mut next = 1;
            loop {
                drop(bell.wait_while(count.lock().unwrap(), |count| *count < next).unwrap());
                let event =
                    format!(r#"{{"method":"gateway.event","params":{{"topic":"figures","seq":{}}}}}"#, seq(next));
                client.write(&frame(TEXT, event.as_bytes()));
                next += 1;
            }
        }
    })
}

#[test]
fn events_come_to_all_in_order() {
    for depth in [1, 5] {
        let options = format!("--connections 7 --rounds 3 --depth {depth} --size 50 {}", pid());
        let json = load("events", topic(|seq| seq), &options).json();
        assert_eq!((json["deliveries"].as_u64(), json["depth"].as_u64()), (Some(21 * depth), Some(depth)));
        assert!(number(&json["round_microseconds"], "median") > 0.0, "{json}");
        has_cpu_for_each(&json, "delivery", number(&json, "deliveries"));
    }
    let swapped = topic(|seq| if seq == 2 { 3 } else { seq });
    load("events", swapped, "--connections 2 --patience 5").failed(1, "an event out of order");
}

#[test]
fn pings_are_counted_and_answered_with_their_payload() {
    let answered = Arc::new(AtomicUsize::new(0));
    let counter = answered.clone();
    let addr = websocket(move |mut client| {
        for number in (0..=u8::MAX).cycle() {
            let payload = [number; 11];
            client.write(&frame(PING, &payload));
            match client.receive() {
                Some(pong) => assert_eq!(pong, (PONG, payload.into())),
                None => return,
            }
            counter.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_millis(5));
        }
    });
    let json = load("ping", addr, &format!("--connections 4 --seconds 2 {}", pid())).json();
    let pings = number(&json, "pings");
    assert!(pings > 4.0 && pings <= answered.load(SeqCst) as f64 + 4.0, "{json}");
    assert_eq!(json["lost"], 0);
}

#[test]
fn handshakes_end_by_the_book() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = ended.clone();
    let addr = websocket(move |mut client| {
        assert!(client.request.starts_with("GET /other HTTP/1.1\r\n"), "{}", client.request);
        assert!(client.request.contains("\r\nAuthorization: Bearer secret\r\n"), "{}", client.request);
        let close = client.receive().expect("a close frame");
        assert_eq!(close, (CLOSE, vec![3, 0xe8]));
        client.write(&frame(close.0, &close.1));
        counter.fetch_add(1, SeqCst);
    });
    let json = load("handshake", addr, "--connections 4 --seconds 2 --warmup 0 --path /other --token secret").json();
    let handshakes = number(&json, "handshakes");
    assert!(handshakes > 4.0 && handshakes <= ended.load(SeqCst) as f64, "{json}");
    assert_eq!(json["failures"], 0);
}

/// A mode that holds connections, against a server with a thread for each.
fn hold(mode: &str, options: &str) -> Value {
    let server = Server::start();
    let json = server.load(mode, &format!("--connections 50 --seconds 0.1 --again {options}")).json();
    assert_eq!((json["opened"].as_u64(), json["open_at_the_end"].as_u64()), (Some(50), Some(50)), "{json}");
    for name in ["before", "open", "after_leaving", "again"] {
        assert!(number(&json, &format!("resident_bytes_{name}")) > 0.0, "{json}");
    }
    // A thread and its stack.
    assert!(number(&json, "resident_bytes_per_connection") > 1000.0, "{json}");
    for name in ["after_leaving", "again"] {
        assert!(json[format!("resident_bytes_per_connection_{name}")].is_number(), "{json}");
    }
    has_usage(&json);
    json
}

/// All at once: they sleep most of the time.
#[test]
fn held_connections_are_measured_by_memory() {
    thread::scope(|scope| {
        for (mode, options) in [("idle", ""), ("idle", "--message 5000"), ("silent", ""), ("storm", "")] {
            scope.spawn(move || {
                let json = hold(mode, options);
                assert_eq!(json["message"].is_u64(), !options.is_empty(), "{json}");
                let handshakes = &json["server_cpu_microseconds_per_handshake"];
                assert_eq!(handshakes.is_number(), mode == "storm", "{json}");
            });
        }
    });
}

#[test]
fn slow_readers_are_slow_and_the_healthy_one_is_not() {
    thread::scope(|scope| {
        for options in ["", "--fanout"] {
            scope.spawn(move || {
                let json = load("slow", echo(), &format!("--connections 3 --seconds 2 {options} {}", pid())).json();
                assert_eq!(json["slow_closed"], 0, "{json}");
                assert!(number(&json, "healthy_round_trips") > 0.0, "{json}");
                assert!(json["resident_bytes_growth"].is_i64(), "{json}");
            });
        }
    });
}

#[test]
fn slow_readers_that_are_closed_are_counted() {
    let addr = websocket(|mut client| {
        client.serve(|client, text| {
            client.write(&frame(TEXT, &text));
            // What the connection that reads sends is shorter.
            if text.len() == 100 {
                client.write(&frame(CLOSE, &4101_u16.to_be_bytes()));
                client.end();
            }
        });
    });
    let json = load("slow", addr, "--connections 3 --seconds 2 --size 100").json();
    assert_eq!(json["slow_closed"], 3, "{json}");
}

#[test]
fn system_calls_are_counted_or_the_reason_is_given() {
    let json = Server::start().load("echo", "--connections 2 --seconds 2 --warmup 0 --syscalls").json();
    match json["syscalls"].as_object() {
        Some(calls) => {
            assert_eq!(json["traced"], true);
            assert!(calls.contains_key("recvfrom") && calls.contains_key("sendto"), "{json}");
            // Each connection may have one message on its way at either end.
            let (calls, messages) = (number(&json["syscalls"], "sendto"), number(&json, "messages"));
            assert!((calls - messages).abs() <= 0.1 * messages + 4.0, "{json}");
            assert!((number(&json["syscalls_per_message"], "sendto") * messages - calls).abs() < 1.0, "{json}");
        }
        None => assert!(json["syscalls_missing_because"].is_string(), "{json}"),
    }
}

#[test]
fn without_strace_the_reason_is_given() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    let addr = echo().to_string();
    command.args(["echo", "--addr", &addr, "--connections", "1", "--seconds", "1", "--warmup", "0", "--syscalls"]);
    let json = run(command.args(pid().split(' ')).env("PATH", "")).json();
    assert!(json["syscalls"].is_null() && json["syscalls_missing_because"].is_string(), "{json}");
    assert_eq!(json["traced"], false);
}
