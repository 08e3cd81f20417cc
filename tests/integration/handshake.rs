//! Opening handshakes, good and bad: RFC 6455, sections 4.1 and 4.2.

use crate::common::Gateway;
use crate::raw::{Answer, Connection, WS, ask, handshake};
use serde_json::Value;
use std::collections::HashSet;
use std::io::Read;

/// The request line, the header left out of a good handshake, the lines put in (split at `|`), and what must come of
/// it: a status, an error's code, a header (empty: anything).
type Case = (&'static str, &'static str, &'static str, u16, &'static str, &'static str);

const KEY: &str = "Sec-WebSocket-Key";
const VERSION: &str = "Sec-WebSocket-Version";
const UPGRADE: &str = "upgrade: websocket";
const SPEAKS_13: &str = "sec-websocket-version: 13";
const ALLOW: &str = "allow: GET, HEAD";

/// Each of these opens a WebSocket.
#[rustfmt::skip]
const GOOD: &[(&str, &str, &str)] = &[
    (WS, "", ""),
    ("GET /ws?room=5 HTTP/1.1", "", ""),
    ("GET http://gw.example/ws HTTP/1.1", "", ""),
    (WS, "Connection", "CONNECTION: UPGRADE"),
    (WS, "Connection", "Connection: keep-alive, Upgrade"),
    (WS, "Connection", "Connection: upgrade , ,keep-alive"),
    (WS, "Connection", "Connection: keep-alive|Connection: Upgrade"),
    (WS, "Upgrade", "upgrade: WebSocket"),
    (WS, "Upgrade", "Upgrade: h2c, websocket"),
    (WS, "Upgrade", "Upgrade: h2c|Upgrade: websocket"),
    (WS, VERSION, "Sec-WebSocket-Version:   13  "),
    (WS, "", "Content-Length: 0"),
    (WS, "", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"),
    (WS, "", "Cookie: a=b|User-Agent: test|Pragma: no-cache|Accept-Encoding: gzip, br"),
];

/// The RFC's own example in section 4.1: its last character has bits set that no byte takes.
#[test]
fn a_key_needs_no_clean_last_character() {
    let gateway = Gateway::start("");
    let answer = ask(&gateway, handshake(WS, KEY, "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="));
    assert_eq!(answer.status, 101, "{answer:?}");
}

/// And none of these.
#[rustfmt::skip]
const BAD: &[Case] = &[
    (WS, "Upgrade",              "",                                        426, "upgrade_required", UPGRADE),
    (WS, "Upgrade",              "Upgrade: h2c",                            426, "upgrade_required", UPGRADE),
    (WS, "Upgrade",              "Upgrade: websockets",                     426, "upgrade_required", UPGRADE),
    ("HEAD /ws HTTP/1.1", "",    "",                                        426, "", UPGRADE),
    ("HEAD /ws HTTP/1.1", "Upgrade", "",                                    426, "", UPGRADE),
    ("POST /ws HTTP/1.1", "",    "",                                        405, "method_not_allowed", ALLOW),
    ("PUT /ws HTTP/1.1", "",     "",                                        405, "method_not_allowed", ALLOW),
    ("OPTIONS /ws HTTP/1.1", "", "Origin: http://evil.example",             405, "method_not_allowed", ALLOW),
    ("get /ws HTTP/1.1", "",     "",                                        405, "method_not_allowed", ALLOW),
    (WS, "Connection",           "",                                        400, "bad_request", ""),
    (WS, "Connection",           "Connection: keep-alive",                  400, "bad_request", ""),
    (WS, "Connection",           "Connection: upgraded",                    400, "bad_request", ""),
    (WS, VERSION,                "",                                        400, "bad_request", ""),
    (WS, "",                     "Sec-WebSocket-Version: 13",               400, "bad_request", ""),
    (WS, "",                     "Sec-WebSocket-Version: 8",                400, "bad_request", ""),
    (WS, VERSION,                "Sec-WebSocket-Version: 8",                426, "version_not_supported", SPEAKS_13),
    (WS, VERSION,                "Sec-WebSocket-Version: 12",               426, "version_not_supported", SPEAKS_13),
    (WS, VERSION,                "Sec-WebSocket-Version: 14",               426, "version_not_supported", SPEAKS_13),
    (WS, VERSION,                "Sec-WebSocket-Version: 13, 8",            426, "version_not_supported", SPEAKS_13),
    (WS, VERSION,                "Sec-WebSocket-Version: 013",              426, "version_not_supported", SPEAKS_13),
    (WS, VERSION,                "Sec-WebSocket-Version:",                  426, "version_not_supported", SPEAKS_13),
    (WS, KEY,                    "",                                        400, "bad_request", ""),
    (WS, KEY,                    "Sec-WebSocket-Key:",                      400, "bad_request", ""),
    (WS, "",                     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", 400, "bad_request", ""),
    (WS, KEY,                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA", 400, "bad_request", ""),
    (WS, KEY,                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=", 400, "bad_request", ""),
    (WS, KEY,                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA", 400, "bad_request", ""),
    (WS, KEY,                    "Sec-WebSocket-Key: ----------------------==", 400, "bad_request", ""),
    (WS, KEY,                    "Sec-WebSocket-Key: not base64, not at all", 400, "bad_request", ""),
    (WS, "Host",                 "",                                        400, "bad_request", ""),
    (WS, "Host",                 "Host:",                                   400, "bad_request", ""),
    (WS, "",                     "Host: gw.example",                        400, "bad_request", ""),
    (WS, "Host",                 "Host: gw.ex\u{e4}mple",                   400, "bad_request", ""),
    ("GET /ws HTTP/1.0", "",     "",                                        400, "bad_request", ""),
    (WS, "",                     "Content-Length: 5",                       400, "bad_request", ""),
    (WS, "",                     "Transfer-Encoding: chunked",              400, "bad_request", ""),
    (WS, "",                     "Origin: http://gw.example|Origin: http://gw.example", 400, "bad_request", ""),
    ("GET /ws?token=x HTTP/1.1", "", "",                                    400, "token_in_query", ""),
    ("GET /ws/ HTTP/1.1", "",    "",                                        404, "not_found", ""),
    ("GET /WS HTTP/1.1", "",     "",                                        404, "not_found", ""),
    ("GET / HTTP/1.1", "",       "",                                        404, "not_found", ""),
    ("GET /%77s HTTP/1.1", "",   "",                                        404, "not_found", ""),
];

#[test]
fn good_handshakes_open_a_websocket() {
    let gateway = Gateway::start("");
    let mut ids = HashSet::new();
    for (line, dropped, added) in GOOD {
        let answer = ask(&gateway, handshake(line, dropped, added));
        let what = format!("{line}, without {dropped:?}, with {added:?}");
        assert_eq!(answer.status, 101, "{what}: {answer:?}");
        check_switch(&answer, &what);
        assert_eq!(answer.header("sec-websocket-protocol"), None, "{what}");
        assert!(ids.insert(answer.header("x-conn-id").map(str::to_owned)), "{what}: an ID came twice");
    }
    gateway.wait_for_status("all of them are counted", |status| {
        status["handshakes"]["completed"] == GOOD.len() && status["handshakes"]["in_progress"] == 0
    });
}

/// What every 101 says, and never says.
fn check_switch(answer: &Answer, what: &str) {
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{what}: {answer:?}");
    assert_eq!(answer.header("upgrade"), Some("websocket"), "{what}: {answer:?}");
    assert_eq!(answer.header("connection"), Some("Upgrade"), "{what}: {answer:?}");
    for absent in ["sec-websocket-extensions", "content-length", "transfer-encoding"] {
        assert_eq!(answer.header(absent), None, "{what}: {answer:?}");
    }
    let id = answer.header("x-conn-id").expect(what);
    let uuid = uuid::Uuid::parse_str(id).expect(what);
    assert_eq!(uuid.get_version_num(), 4, "{what}: {id}");
    assert_eq!(uuid.hyphenated().to_string(), id, "{what}");
}

#[test]
fn bad_handshakes_are_refused_with_a_reason() {
    let gateway = Gateway::start("");
    for (line, dropped, added, status, code, header) in BAD {
        let mut connection = Connection::open(&gateway);
        connection.send(handshake(line, dropped, added));
        let answer = connection.receive(!line.starts_with("HEAD "));
        let what = format!("{line}, without {dropped:?}, with {added:?}");
        check_refusal(&answer, *status, code, header, &what);
        if *status != 404 {
            assert_eq!(answer.header("connection"), Some("close"), "{what}: {answer:?}");
            assert_eq!(connection.rest(), "", "{what}");
        }
    }
    let status = gateway.status();
    assert_eq!(status["handshakes"]["completed"], 0);
    for code in ["upgrade_required", "method_not_allowed", "version_not_supported", "bad_request", "token_in_query"] {
        let wanted = BAD.iter().filter(|case| case.4 == code || (case.4.is_empty() && code == "upgrade_required"));
        assert_eq!(status["handshakes"]["failed"][code], wanted.count(), "{code}: {status:#}");
    }
}

fn check_refusal(answer: &Answer, status: u16, code: &str, header: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    answer.check(what);
    match code {
        "" => assert_eq!(answer.body, "", "{what}: {answer:?}"),
        code => assert_eq!(answer.code(), code, "{what}: {answer:?}"),
    }
    if let Some((name, value)) = header.split_once(": ") {
        assert_eq!(answer.header(name), Some(value), "{what}: {answer:?}");
    }
}

/// What the client sends right behind its request is its first message.
#[test]
fn an_early_frame_is_answered() {
    let gateway = Gateway::start("");
    let mut connection = Connection::open(&gateway);
    let call = br#"{"jsonrpc":"2.0","id":7,"method":"gateway.ping"}"#;
    let mask = [1, 2, 3, 4];
    let mut bytes = handshake(WS, "", "").into_bytes();
    bytes.extend([0x81, 0x80 | call.len() as u8]);
    bytes.extend(mask);
    bytes.extend(call.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    connection.send(bytes);
    assert_eq!(connection.receive(false).status, 101);
    let mut header = [0; 2];
    connection.reader.read_exact(&mut header).expect("a frame");
    assert_eq!(header[0], 0x81, "a whole text message");
    let mut payload = vec![0; header[1].into()];
    connection.reader.read_exact(&mut payload).expect("its payload");
    let answer: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(answer, serde_json::json!({"jsonrpc": "2.0", "id": 7, "result": "pong"}));
}

fn padded(length: usize) -> String {
    let bare = handshake(WS, "", "X: ").len();
    handshake(WS, "", &format!("X: {}", "x".repeat(length - bare)))
}

fn check_header_limit(limit: usize) {
    let gateway = Gateway::start(&format!("[handshake]\nmax_header_bytes = {limit}"));
    let answer = ask(&gateway, padded(limit));
    assert_eq!(answer.status, 101, "{limit}: {answer:?}");
    for length in [limit + 1, limit + 1000, 4 * limit] {
        let answer = ask(&gateway, padded(length));
        check_refusal(&answer, 431, "header_too_large", "connection: close", &format!("{length} of {limit} bytes"));
    }
    gateway.wait_for_status("all are counted", |status| status["handshakes"]["failed"]["header_too_large"] == 3);
}

#[test]
fn a_header_may_be_as_large_as_configured() {
    check_header_limit(8_192);
    check_header_limit(16_384);
}

/// The buffer that hyper reads into grows beyond limits that are no power of two; the limit holds all the same.
#[test]
fn a_header_may_be_no_larger_than_configured() {
    for limit in [10_000, 40_000, 65_536] {
        check_header_limit(limit);
    }
}
