//! `limits.max_messages_per_second` and `limits.max_bytes_per_second`.

use crate::common::Gateway;
use crate::common::raw_client::RawClient;
use std::thread;
use std::time::{Duration, Instant};
use test_support::frames::{FIN, PING, PONG, TEXT, client_frame};

fn echo(id: usize, size: usize) -> Vec<u8> {
    let params = "x".repeat(size);
    let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"gateway.echo","params":["{params}"]}}"#);
    client_frame(FIN | TEXT, request.as_bytes())
}

/// A client that sends 60 requests of `size` bytes at once is answered to all of them, in order, not faster than its
/// rate allows.
fn assert_paced(settings: &str, size: usize) {
    let gateway = Gateway::start(&format!("[limits]\nrate_burst = \"1s\"\n{settings}"));
    let mut raw = RawClient::connect(&gateway);
    let started = Instant::now();
    let mut sender = raw.stream.try_clone().unwrap();
    let requests: Vec<u8> = (0..60).flat_map(|id| echo(id, size)).collect();
    let sending = thread::spawn(move || std::io::Write::write_all(&mut sender, &requests).unwrap());
    for id in 0..60 {
        let (_, payload) = raw.receive().expect("an answer");
        let answer = String::from_utf8(payload).unwrap();
        assert!(answer.ends_with(&format!(r#","id":{id}}}"#)), "answer {id} is lost");
    }
    sending.join().unwrap();
    // The burst is a third of the requests, the rate a third of them each second.
    assert!(started.elapsed() > Duration::from_millis(1500), "{:?}", started.elapsed());
    // The rate of one client isn't that of another.
    let mut other = gateway.connect();
    assert_eq!(other.call("gateway.ping")["result"], "pong");
    raw.send(&client_frame(FIN | PING, b"still open"));
    assert_eq!(raw.receive(), Some((FIN | PONG, b"still open".to_vec())));
}

#[test]
fn client_that_sends_too_many_messages_is_read_at_its_rate() {
    assert_paced("max_messages_per_second = 20", 1);
}

#[test]
fn client_that_sends_too_many_bytes_is_read_at_its_rate() {
    // More than the sockets' buffers take.
    assert_paced("max_bytes_per_second = 4000000", 200_000);
}

#[test]
fn client_isn_t_closed_by_the_heartbeat_while_it_is_not_read() {
    let heartbeat = "[heartbeat]\ninterval = \"500ms\"\ntimeout = \"500ms\"\n";
    let gateway = Gateway::start(&format!("[limits]\nrate_burst = \"1s\"\nmax_bytes_per_second = 100000\n{heartbeat}"));
    let mut raw = RawClient::connect(&gateway);
    // The first message exceeds the burst, so that the second isn't read for three seconds.
    raw.send(&echo(1, 400_000));
    raw.send(&client_frame(FIN | PING, b"not read at once"));
    assert_eq!(raw.receive().expect("an answer").0, FIN | TEXT);
    assert_eq!(raw.receive(), Some((FIN | PONG, b"not read at once".to_vec())));
}

#[test]
fn client_that_keeps_exceeding_its_rate_is_closed() {
    let gateway = Gateway::start(
        "[limits]\nmax_messages_per_second = 10\nrate_burst = \"100ms\"\nrate_timeout = \"300ms\"\nclose_timeout = \"10s\"",
    );
    let mut raw = RawClient::connect(&gateway);
    let pings: Vec<u8> = (0..1000).flat_map(|_| client_frame(FIN | PING, b"")).collect();
    raw.send(&pings);
    assert_eq!(raw.wait_for_close(), Some((4102, "rate_limited".to_owned())));
    gateway.wait_for_status("the closed client is counted", |status| status["closed_total"]["rate_limited"] == 1);
}
