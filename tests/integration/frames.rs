//! Frames, good and bad, each with what the gateway makes of it.

use crate::common::Gateway;
use crate::common::frames::*;

/// Sends bytes; the close code that they cause, and `/status` and log that agree with it.
fn close_code(bytes: &[u8]) -> (u16, String) {
    let gateway = Gateway::start("[limits]\nmax_message_bytes = 1000\nclose_timeout = \"300ms\"");
    let mut raw = Raw::connect(&gateway);
    raw.send(bytes);
    let (code, reason) = raw.closed().expect("a close frame");
    drop(raw);
    let status = gateway.wait_for_clients(0);
    assert_eq!(status["closed_total"][&reason], 1, "{status}");
    let lines = gateway.disconnections(1);
    assert!(lines.len() == 1 && lines[0].contains(&format!("reason={reason} code={code} ")), "{lines:?}");
    (code, reason)
}

#[test]
fn what_breaks_the_protocol_is_closed_with_its_code() {
    let half_text = frame(TEXT, b"half");
    let table: Vec<(&str, Vec<u8>, (u16, &str))> = vec![
        ("not masked", [header(FIN | TEXT, 0, 2), b"hi".into()].concat(), (1002, "protocol_error")),
        ("reserved bit 1", frame(FIN | 0x40 | TEXT, b"hi"), (1002, "protocol_error")),
        ("reserved bit 3", frame(FIN | 0x10 | TEXT, b"hi"), (1002, "protocol_error")),
        ("reserved data opcode", frame(FIN | 0x3, b"hi"), (1002, "protocol_error")),
        ("reserved control opcode", frame(FIN | 0xB, b"hi"), (1002, "protocol_error")),
        ("a continuation of nothing", frame(FIN | CONTINUATION, b"hi"), (1002, "protocol_error")),
        ("a message within a message", [half_text.clone(), frame(FIN | TEXT, b"x")].concat(), (1002, "protocol_error")),
        ("a ping in pieces", frame(PING, b"hi"), (1002, "protocol_error")),
        ("a ping too long", frame(FIN | PING, &[0; 126]), (1002, "protocol_error")),
        ("half a close code", frame(FIN | CLOSE, b"\x03"), (1002, "protocol_error")),
        ("binary", frame(FIN | BINARY, b"hi"), (1003, "unsupported_data")),
        ("no UTF-8", frame(FIN | TEXT, b"\xff\xfe"), (1007, "invalid_payload")),
        ("no UTF-8 in pieces", [half_text.clone(), frame(FIN, b"\xc3\x28")].concat(), (1007, "invalid_payload")),
        ("too big", frame(FIN | TEXT, &[b'x'; 1001]), (1009, "message_too_big")),
        ("too big in pieces", [half_text, frame(FIN, &[b'x'; 998])].concat(), (1009, "message_too_big")),
        (
            "a huge length and nothing behind it",
            [header(FIN | TEXT, 0x80, u64::MAX >> 1), vec![0; 4]].concat(),
            (1009, "message_too_big"),
        ),
    ];
    for (what, bytes, (code, reason)) in table {
        assert_eq!(close_code(&bytes), (code, reason.to_owned()), "{what}");
    }
}

#[test]
fn a_client_still_sending_sees_why_it_is_closed() {
    let gateway = Gateway::start("[limits]\nmax_message_bytes = 1000\nclose_timeout = \"1m\"");
    let mut raw = Raw::connect(&gateway);
    // More than all buffers on the way: without the gateway reading on, its close frame would be lost in a reset.
    let message = frame(FIN | TEXT, &vec![b'x'; 8 * 1024 * 1024]);
    raw.send(&message);
    assert_eq!(raw.closed(), Some((1009, "message_too_big".to_owned())));
}

#[test]
fn a_ping_is_answered_with_its_own_payload() {
    let gateway = Gateway::start("");
    let mut raw = Raw::connect(&gateway);
    for payload in [&b""[..], b"abc", &[0xff; 125]] {
        raw.send(&frame(FIN | PING, payload));
        assert_eq!(raw.receive(), Some((FIN | PONG, payload.to_vec())));
    }
    // Also between the pieces of a message.
    let request = br#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#;
    raw.send(&[frame(TEXT, &request[..20]), frame(FIN | PING, b"mid"), frame(FIN, &request[20..])].concat());
    assert_eq!(raw.receive(), Some((FIN | PONG, b"mid".to_vec())));
    assert_eq!(raw.receive().unwrap().1, br#"{"jsonrpc":"2.0","result":"pong","id":1}"#);
}

#[test]
fn the_clients_close_is_answered_with_its_code() {
    for (payload, answer, reason) in [
        (&b"\x03\xe8bye"[..], &b"\x03\xe8bye"[..], "normal"),
        (b"", b"", "normal"),
        (b"\x03\xe9", b"\x03\xe9", "going_away"),
        (b"\x0f\xa0own", b"\x0f\xa0own", "normal"),
    ] {
        let gateway = Gateway::start("");
        let mut raw = Raw::connect(&gateway);
        raw.send(&frame(FIN | CLOSE, payload));
        assert_eq!(raw.receive(), Some((FIN | CLOSE, answer.to_vec())));
        assert_eq!(raw.receive(), None, "the server ends the stream first");
        let status = gateway.wait_for_clients(0);
        assert_eq!(status["closed_total"][reason], 1, "{status}");
        assert!(gateway.disconnections(1)[0].contains(" clean=true "));
    }
}

#[test]
fn what_came_before_the_close_is_answered_before_it() {
    let gateway = Gateway::start("");
    let mut raw = Raw::connect(&gateway);
    let requests: Vec<u8> = (0..500)
        .flat_map(|id| {
            frame(FIN | TEXT, format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"gateway.ping"}}"#).as_bytes())
        })
        .collect();
    raw.send(&[requests, frame(FIN | CLOSE, b"\x03\xe8")].concat());
    for id in 0..500 {
        let (_, answer) = raw.receive().expect("an answer");
        assert_eq!(String::from_utf8(answer).unwrap(), format!(r#"{{"jsonrpc":"2.0","result":"pong","id":{id}}}"#));
    }
    assert_eq!(raw.closed(), Some((1000, String::new())));
}

#[test]
fn what_came_before_a_bad_frame_is_answered_before_the_close() {
    let gateway = Gateway::start("");
    let mut raw = Raw::connect(&gateway);
    let request = frame(FIN | TEXT, br#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#);
    raw.send(&[request, frame(FIN | PING, b"still here"), frame(FIN | TEXT, b"\xff")].concat());
    // In either order: a pong may overtake.
    let mut answers = [raw.receive().expect("an answer"), raw.receive().expect("another")];
    answers.sort();
    assert_eq!(answers[0], (FIN | TEXT, br#"{"jsonrpc":"2.0","result":"pong","id":1}"#.to_vec()));
    assert_eq!(answers[1], (FIN | PONG, b"still here".to_vec()));
    assert_eq!(raw.closed(), Some((1007, "invalid_payload".to_owned())));
}

#[test]
fn each_ping_is_answered_to_the_one_who_sent_it() {
    let gateway = Gateway::start("");
    let (mut loud, mut quiet) = (Raw::connect(&gateway), Raw::connect(&gateway));
    gateway.wait_for_clients(2);
    // As many as a session handles in one turn, and not one more.
    let pings: Vec<u8> = (0..=255).flat_map(|number: u8| frame(FIN | PING, &[number])).collect();
    for _ in 0..10 {
        loud.send(&pings);
        quiet.send(&frame(FIN | PING, b"mine"));
        assert_eq!(quiet.receive(), Some((FIN | PONG, b"mine".to_vec())));
        for number in 0..=255 {
            assert_eq!(loud.receive(), Some((FIN | PONG, vec![number])));
        }
    }
    quiet.send(&frame(FIN | CLOSE, b"\x03\xe8"));
    assert_eq!(quiet.receive(), Some((FIN | CLOSE, b"\x03\xe8".to_vec())), "and nothing before it");
}

#[test]
fn fragments_of_any_size_make_one_message() {
    let gateway = Gateway::start("");
    let mut raw = Raw::connect(&gateway);
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["{}"]}}"#, "é".repeat(3_000));
    for size in [1, 7, 4_096] {
        let pieces: Vec<&[u8]> = request.as_bytes().chunks(size).collect();
        for (index, piece) in pieces.iter().enumerate() {
            let fin = if index + 1 == pieces.len() { FIN } else { 0 };
            raw.send(&frame(fin | if index == 0 { TEXT } else { CONTINUATION }, piece));
        }
        let (_, answer) = raw.receive().unwrap();
        assert!(String::from_utf8(answer).unwrap().contains(&"é".repeat(3_000)), "in pieces of {size}");
    }
}

#[test]
fn the_largest_message_passes() {
    let gateway = Gateway::start("");
    let mut client = gateway.connect();
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":[""]}"#;
    let filler = "x".repeat(1024 * 1024 - request.len());
    client.send(&request.replace(r#"[""]"#, &format!(r#"["{filler}"]"#)));
    let answer = client.receive();
    assert!(answer.contains(&filler));
}

#[test]
fn nothing_is_done_of_what_comes_behind_a_fault() {
    let gateway = Gateway::start("");
    let mut raw = Raw::connect(&gateway);
    let request = frame(FIN | TEXT, br#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#);
    raw.send(&[frame(FIN | BINARY, b"hi"), request.repeat(50)].concat());
    assert_eq!(raw.closed(), Some((1003, "unsupported_data".to_owned())));
    assert_eq!(gateway.wait_for_clients(0)["messages"]["in"], 0);
}

#[test]
fn many_pings_are_all_answered_or_the_last_of_them() {
    let gateway = Gateway::start("");
    let mut raw = Raw::connect(&gateway);
    let pings: Vec<u8> = (0..1_000).flat_map(|index| frame(FIN | PING, format!("{index}").as_bytes())).collect();
    raw.send(&pings);
    while raw.receive().unwrap() != (FIN | PONG, b"999".to_vec()) {}
}
