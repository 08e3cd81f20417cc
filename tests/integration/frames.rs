//! WebSocket frames after the handshake (RFC 6455, sections 5 to 7): valid and invalid ones, and their effect.

use crate::common::Gateway;
use crate::common::raw_client::RawClient;
use socket2::SockRef;
use test_support::frames::*;

/// Sends bytes and returns the close code and reason. Checks that `/status` and the log have the same reason.
fn close_code(bytes: &[u8]) -> (u16, String) {
    let gateway = Gateway::start("[limits]\nmax_message_bytes = 1000\nclose_timeout = \"300ms\"");
    let mut raw = RawClient::connect(&gateway);
    raw.send(bytes);
    let (code, reason) = raw.wait_for_close().expect("a close frame");
    drop(raw);
    let status = gateway.wait_for_clients(0);
    assert_eq!(status["closed_total"][&reason], 1, "{status}");
    let lines = gateway.wait_for_disconnects(1);
    assert!(lines.len() == 1 && lines[0].contains(&format!("reason={reason} code={code} ")), "{lines:?}");
    (code, reason)
}

#[test]
fn invalid_frame_closes_with_the_matching_code() {
    let half_text = client_frame(TEXT, b"half");
    let header = |first, mask_bit, length| {
        let (header, len) = encode_header(first, mask_bit, length);
        header[..len].to_vec()
    };
    let after_half = |frame: Vec<u8>| [half_text.clone(), frame].concat();
    let protocol_errors = [
        ("not masked", [header(FIN | TEXT, 0, 2), b"hi".into()].concat()),
        ("reserved bit 1", client_frame(FIN | 0x40 | TEXT, b"hi")),
        ("reserved bit 3", client_frame(FIN | 0x10 | TEXT, b"hi")),
        ("reserved data opcode", client_frame(FIN | 0x3, b"hi")),
        ("reserved control opcode", client_frame(FIN | 0xB, b"hi")),
        ("continuation without a message", client_frame(FIN | CONTINUATION, b"hi")),
        ("message inside a message", after_half(client_frame(FIN | TEXT, b"x"))),
        ("fragmented ping", client_frame(PING, b"hi")),
        ("ping too long", client_frame(FIN | PING, &[0; 126])),
        ("incomplete close code", client_frame(FIN | CLOSE, b"\x03")),
    ];
    let unsupported = [("binary", client_frame(FIN | BINARY, b"hi"))];
    let not_utf_8 = [
        ("not UTF-8", client_frame(FIN | TEXT, b"\xff\xfe")),
        ("not UTF-8 across fragments", after_half(client_frame(FIN, b"\xc3\x28"))),
    ];
    let too_big = [
        ("too big", client_frame(FIN | TEXT, &[b'x'; 1001])),
        ("too big across fragments", after_half(client_frame(FIN, &[b'x'; 998]))),
        ("huge length without a payload", [header(FIN | TEXT, 0x80, u64::MAX >> 1), vec![0; 4]].concat()),
    ];
    for (code, reason, cases) in [
        (1002, "protocol_error", &protocol_errors[..]),
        (1003, "unsupported_data", &unsupported),
        (1007, "invalid_payload", &not_utf_8),
        (1009, "message_too_big", &too_big),
    ] {
        for (what, bytes) in cases {
            assert_eq!(close_code(bytes), (code, reason.to_owned()), "{what}");
        }
    }
}

#[test]
fn client_that_is_still_sending_receives_the_close_frame() {
    let gateway = Gateway::start("[limits]\nmax_message_bytes = 1000\nclose_timeout = \"1m\"");
    let mut raw = RawClient::connect(&gateway);
    // Exceeds all buffers: if the gateway stopped reading, a reset would discard its close frame.
    let message = client_frame(FIN | TEXT, &vec![b'x'; 8 * 1024 * 1024]);
    raw.send(&message);
    assert_eq!(raw.wait_for_close(), Some((1009, "message_too_big".to_owned())));
}

/// A read of the socket ends ahead of urgent data, and what follows causes no event of its own.
#[test]
fn message_with_urgent_data_inside_is_read_to_its_end() {
    let gateway = Gateway::start("");
    let mut raw = RawClient::connect(&gateway);
    let ping = client_frame(FIN | TEXT, br#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#);
    for end in [1, 5, 20] {
        // The gateway finds all of it when it goes on.
        gateway.signal("STOP");
        raw.send(&ping[..end]);
        SockRef::from(&raw.stream).send_out_of_band(b"!").unwrap();
        raw.send(&ping[end..]);
        gateway.signal("CONT");
        assert_eq!(raw.receive().unwrap().1, br#"{"jsonrpc":"2.0","result":"pong","id":1}"#, "after {end} bytes");
    }
}

#[test]
fn ping_is_answered_with_its_payload() {
    let gateway = Gateway::start("");
    let mut raw = RawClient::connect(&gateway);
    for payload in [&b""[..], b"abc", &[0xff; 125]] {
        raw.send(&client_frame(FIN | PING, payload));
        assert_eq!(raw.receive(), Some((FIN | PONG, payload.to_vec())));
    }
    // Also between the fragments of a message.
    let request = br#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#;
    raw.send(
        &[client_frame(TEXT, &request[..20]), client_frame(FIN | PING, b"mid"), client_frame(FIN, &request[20..])]
            .concat(),
    );
    assert_eq!(raw.receive(), Some((FIN | PONG, b"mid".to_vec())));
    assert_eq!(raw.receive().unwrap().1, br#"{"jsonrpc":"2.0","result":"pong","id":1}"#);
}

#[test]
fn close_frame_of_the_client_is_answered_with_its_code() {
    let gateway = Gateway::start("[limits]\nclose_timeout = \"1h\"");
    for (payload, answer, reason) in [
        (&b"\x03\xe8bye"[..], &b"\x03\xe8bye"[..], "normal"),
        (b"", b"", "normal"),
        (b"\x03\xe9", b"\x03\xe9", "going_away"),
        (b"\x0f\xa0own", b"\x0f\xa0own", "normal"),
        // All registered codes that may be sent, and codes that the gateway doesn't know.
        (b"\x03\xea", b"\x03\xea", "protocol_error"),
        (b"\x03\xeb", b"\x03\xeb", "normal"),
        (b"\x03\xef", b"\x03\xef", "normal"),
        (b"\x03\xf0", b"\x03\xf0", "normal"),
        (b"\x03\xf1", b"\x03\xf1", "normal"),
        (b"\x03\xf2", b"\x03\xf2", "normal"),
        (b"\x03\xf3", b"\x03\xf3", "normal"),
        (b"\x03\xf4", b"\x03\xf4", "normal"),
        (b"\x03\xf5", b"\x03\xf5", "normal"),
        (b"\x03\xf6", b"\x03\xf6", "normal"),
        (b"\x0b\xb8", b"\x0b\xb8", "normal"),
        (b"\x13\x87", b"\x13\x87", "normal"),
        // Codes that must not be sent.
        (b"\x03\xec", b"\x03\xeaProtocol violation", "protocol_error"),
        (b"\x03\xed", b"\x03\xeaProtocol violation", "protocol_error"),
        (b"\x03\xee", b"\x03\xeaProtocol violation", "protocol_error"),
        (b"\x03\xf7", b"\x03\xeaProtocol violation", "protocol_error"),
        (b"\x07\xd0", b"\x03\xeaProtocol violation", "protocol_error"),
        (b"\x13\x88", b"\x03\xeaProtocol violation", "protocol_error"),
    ] {
        let before = gateway.status()["closed_total"][reason].as_u64().unwrap();
        let mut raw = RawClient::connect(&gateway);
        raw.send(&client_frame(FIN | CLOSE, payload));
        assert_eq!(raw.receive(), Some((FIN | CLOSE, answer.to_vec())));
        assert_eq!(raw.receive(), None, "the server ends the stream first");
        gateway.wait_for_status("its close reason", |status| status["closed_total"][reason] == before + 1);
    }
    assert!(
        gateway.log().iter().filter(|line| line.contains(" disconnected ")).all(|line| line.contains(" clean=true "))
    );
}

#[test]
fn requests_ahead_of_the_close_frame_are_answered_first() {
    let gateway = Gateway::start("");
    let mut raw = RawClient::connect(&gateway);
    let requests: Vec<u8> = (0..500)
        .flat_map(|id| {
            client_frame(FIN | TEXT, format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"gateway.ping"}}"#).as_bytes())
        })
        .collect();
    raw.send(&[requests, client_frame(FIN | CLOSE, b"\x03\xe8")].concat());
    for id in 0..500 {
        let (_, answer) = raw.receive().expect("an answer");
        assert_eq!(String::from_utf8(answer).unwrap(), format!(r#"{{"jsonrpc":"2.0","result":"pong","id":{id}}}"#));
    }
    assert_eq!(raw.wait_for_close(), Some((1000, String::new())));
}

#[test]
fn requests_ahead_of_an_invalid_frame_are_answered_first() {
    let gateway = Gateway::start("");
    let mut raw = RawClient::connect(&gateway);
    let request = client_frame(FIN | TEXT, br#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#);
    raw.send(&[request, client_frame(FIN | PING, b"still here"), client_frame(FIN | TEXT, b"\xff")].concat());
    // In either order, because a pong may be sent first.
    let mut answers = [raw.receive().expect("an answer"), raw.receive().expect("another")];
    answers.sort();
    assert_eq!(answers[0], (FIN | TEXT, br#"{"jsonrpc":"2.0","result":"pong","id":1}"#.to_vec()));
    assert_eq!(answers[1], (FIN | PONG, b"still here".to_vec()));
    assert_eq!(raw.wait_for_close(), Some((1007, "invalid_payload".to_owned())));
}

#[test]
fn pong_goes_to_the_client_that_sent_the_ping() {
    let gateway = Gateway::start("");
    let (mut busy, mut other) = (RawClient::connect(&gateway), RawClient::connect(&gateway));
    gateway.wait_for_clients(2);
    // More than a session handles in one poll.
    let pings: Vec<u8> = (0..=255).flat_map(|number: u8| client_frame(FIN | PING, &[number])).collect();
    for _ in 0..10 {
        busy.send(&pings);
        other.send(&client_frame(FIN | PING, b"mine"));
        assert_eq!(other.receive(), Some((FIN | PONG, b"mine".to_vec())));
        for number in 0..=255 {
            assert_eq!(busy.receive(), Some((FIN | PONG, vec![number])));
        }
    }
    other.send(&client_frame(FIN | CLOSE, b"\x03\xe8"));
    assert_eq!(other.receive(), Some((FIN | CLOSE, b"\x03\xe8".to_vec())), "nothing precedes it");
}

#[test]
fn fragments_of_any_size_are_one_message() {
    let gateway = Gateway::start("");
    let mut raw = RawClient::connect(&gateway);
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":["{}"]}}"#, "é".repeat(3_000));
    for size in [1, 7, 4_096] {
        let fragments: Vec<&[u8]> = request.as_bytes().chunks(size).collect();
        for (index, fragment) in fragments.iter().enumerate() {
            let fin = if index + 1 == fragments.len() { FIN } else { 0 };
            raw.send(&client_frame(fin | if index == 0 { TEXT } else { CONTINUATION }, fragment));
        }
        let (_, answer) = raw.receive().unwrap();
        assert!(String::from_utf8(answer).unwrap().contains(&"é".repeat(3_000)), "fragments of {size}");
    }
}

#[test]
fn message_of_maximum_size_is_accepted() {
    let gateway = Gateway::start("");
    let mut client = gateway.connect();
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":[""]}"#;
    let filler = "x".repeat(1024 * 1024 - request.len());
    client.send(&request.replace(r#"[""]"#, &format!(r#"["{filler}"]"#)));
    let answer = client.receive();
    assert!(answer.contains(&filler));
}

#[test]
fn requests_after_a_binary_message_are_ignored() {
    let gateway = Gateway::start("");
    let mut raw = RawClient::connect(&gateway);
    let request = client_frame(FIN | TEXT, br#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#);
    raw.send(&[client_frame(FIN | BINARY, b"hi"), request.repeat(50)].concat());
    assert_eq!(raw.wait_for_close(), Some((1003, "unsupported_data".to_owned())));
    // The binary message is the only one that was read.
    assert_eq!(gateway.wait_for_clients(0)["messages"]["in"], 1);
}

#[test]
fn last_ping_of_a_flood_is_answered() {
    let gateway = Gateway::start("");
    let mut raw = RawClient::connect(&gateway);
    let pings: Vec<u8> = (0..1_000).flat_map(|index| client_frame(FIN | PING, format!("{index}").as_bytes())).collect();
    raw.send(&pings);
    while raw.receive().unwrap() != (FIN | PONG, b"999".to_vec()) {}
}
