//! The connections that the operators' HTTP comes on: bodies, one request after the other, and their ends.

use crate::common::Gateway;
use crate::common::fleet::Fleet;
use crate::operators::{INVOKE, WHO, request};
use crate::raw::{Connection, ask};
use serde_json::json;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

#[test]
fn a_call_ends_with_the_connection_it_came_on() {
    let fleet = Fleet::start(WHO, "");
    let mut node = fleet.connect("kitchen-pi");
    let text = request("POST /nodes/node:kitchen-pi/invoke", Some(&fleet.bearer("alice")), "", r#"{"method":"x"}"#);
    let mut caller = fleet.gateway.tcp();
    std::io::Write::write_all(&mut caller, text.as_bytes()).unwrap();
    let late = node.next();
    drop(caller);
    fleet.gateway.wait_for_status("it is cancelled", |status| {
        status["calls"]["ended"]["cancelled"] == 1 && status["calls"]["in_flight"] == 0
    });
    node.respond(&late, json!(1));
    fleet.gateway.wait_for_status("the late answer is ignored", |status| status["calls"]["answers_ignored"] == 1);
}

/// As `nc -N` does: the request, and at once the end of this direction.
fn ask_and_end(gateway: &Gateway, text: String) -> String {
    let mut stream = gateway.tcp();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_sends_nothing_more_gets_its_answer() {
    let fleet = Fleet::start(WHO, "");
    let bearer = fleet.bearer("alice");
    let asked = |line: &str, body: &str| ask_and_end(&fleet.gateway, request(line, Some(&bearer), "", body));
    for (line, body) in
        [("GET /status", ""), ("GET /nodes", ""), ("GET /healthz", ""), ("POST /topics/x/messages", r#"{"data":1}"#)]
    {
        // Sometimes the end comes with the request, sometimes later.
        for _ in 0..50 {
            let answer = asked(line, body);
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("}\n"), "{line}: {answer}");
        }
    }
    let refused = ask_and_end(&fleet.gateway, request("GET /ws", Some(&bearer), "", ""));
    assert!(refused.starts_with("HTTP/1.1 426 "), "{refused}");
    let status = fleet.gateway.status();
    assert_eq!(status["handshakes"]["failed"]["disconnected"], 0, "{status}");
    // What is missing of a body is waited for as ever.
    let fleet = Fleet::start(WHO, "[handshake]\ntimeout = \"2s\"");
    let half = request("POST /topics/x/messages", Some(&fleet.bearer("alice")), "", "{}").replace("{}", "{");
    let late = ask_and_end(&fleet.gateway, half);
    assert!(late.starts_with("HTTP/1.1 408 "), "{late}");
}

#[test]
fn a_drain_answers_a_call_that_waits() {
    let fleet = Fleet::start(WHO, "");
    let mut node = fleet.connect("kitchen-pi");
    thread::scope(|scope| {
        let caller = scope.spawn(|| fleet.refused("alice", INVOKE, r#"{"method":"x"}"#));
        node.next();
        fleet.gateway.signal("TERM");
        assert_eq!(caller.join().unwrap(), (503, "draining".to_owned()));
    });
}

#[test]
fn a_drain_takes_no_more_calls() {
    let fleet = Fleet::start(WHO, "[limits]\nclose_timeout = \"1h\"");
    // Nobody reads for it: the drain lasts.
    let _node = fleet.connect("kitchen-pi");
    let mut connection = Connection::open(&fleet.gateway);
    connection.send(request("GET /clients", Some(&fleet.bearer("alice")), "", ""));
    assert_eq!(connection.receive(true).status, 200);
    fleet.gateway.signal("TERM");
    fleet.gateway.wait_for_line("drains", |line| line.ends_with(" how=drain"));
    connection.send(request(INVOKE, Some(&fleet.bearer("alice")), "", r#"{"method":"x"}"#));
    let answer = connection.receive(true);
    assert_eq!((answer.status, answer.code()), (503, "draining".to_owned()));
}

#[test]
fn bodies_come_in_time_in_pieces_and_when_they_are_asked_for() {
    let fleet = Fleet::start(WHO, "[handshake]\ntimeout = \"2s\"");
    let bearer = fleet.bearer("alice");
    let line = "POST /topics/x/messages";
    // Nothing of the body comes.
    let text = request(line, Some(&bearer), "", "{}").replace("\r\n\r\n{}", "\r\n\r\n");
    assert_eq!(ask(&fleet.gateway, text).code(), "body_timeout");
    // All others have all the time there is.
    let fleet = Fleet::start(WHO, "");
    let bearer = fleet.bearer("alice");
    // In pieces that name their length.
    let chunked =
        request(line, Some(&bearer), "Transfer-Encoding: chunked\r\n", "").replace("Content-Length: 0\r\n", "");
    let answer = ask(&fleet.gateway, format!("{chunked}5\r\n{{\"dat\r\n5\r\na\":1}}\r\n0\r\n\r\n"));
    assert_eq!((answer.status, answer.body.trim()), (200, r#"{"queued":0}"#));
    let answer = ask(&fleet.gateway, format!("{chunked}x\r\n"));
    assert_eq!((answer.status, answer.code()), (400, "bad_request".to_owned()));
    // Only when the gateway asks for it, as curl does with large ones.
    let mut connection = Connection::open(&fleet.gateway);
    let head = request(line, Some(&bearer), "Expect: 100-continue\r\n", r#"{"data":1}"#);
    let (head, body) = head.split_at(head.find("\r\n\r\n").unwrap() + 4);
    connection.send(head);
    assert_eq!(connection.receive(false).head, "HTTP/1.1 100 Continue\r\n\r\n");
    connection.send(body);
    assert_eq!(connection.receive(true).status, 200);
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let fleet = Fleet::start(WHO, "");
    let mut connection = Connection::open(&fleet.gateway);
    for _ in 0..3 {
        connection.send(request("GET /clients", Some(&fleet.bearer("alice")), "", ""));
        assert_eq!(connection.receive(true).status, 200);
        connection.send(request("POST /topics/x/messages", Some(&fleet.bearer("alice")), "", r#"{"data":1}"#));
        assert_eq!(connection.receive(true).status, 200);
        connection.send(request("GET /status", None, "", ""));
        assert_eq!(connection.receive(true).status, 200);
    }
    let status = fleet.gateway.status();
    assert_eq!(
        (&status["handshakes"]["in_progress"], &status["handshakes"]["failed"]["disconnected"]),
        (&json!(0), &json!(0))
    );
}
