//! Valid and invalid opening handshakes: RFC 6455, sections 4.1 and 4.2.

use crate::common::Gateway;
use crate::common::http::{GET_WS, HttpConnection, fetch, handshake_request};
use serde_json::Value;
use socket2::SockRef;
use std::collections::HashSet;
use std::io::{Read, Write};
use test_support::frames::{FIN, TEXT, client_frame};

/// The request line, the removed header, the added lines (separated by `|`), and what the response must have: a status,
/// an error code (empty: no body) and a header (empty: any).
type Case = (&'static str, &'static str, &'static str, u16, &'static str, &'static str);

const KEY: &str = "Sec-WebSocket-Key";
const VERSION: &str = "Sec-WebSocket-Version";
const UPGRADE: &str = "upgrade: websocket";
const VERSION_13: &str = "sec-websocket-version: 13";
const ALLOW: &str = "allow: GET";

#[rustfmt::skip]
const VALID: &[(&str, &str, &str)] = &[
    (GET_WS, "", ""),
    ("GET /ws?room=5 HTTP/1.1", "", ""),
    ("GET http://gw.example/ws HTTP/1.1", "", ""),
    (GET_WS, "Connection", "CONNECTION: UPGRADE"),
    (GET_WS, "Connection", "Connection: keep-alive, Upgrade"),
    (GET_WS, "Connection", "Connection: upgrade , ,keep-alive"),
    (GET_WS, "Connection", "Connection: keep-alive|Connection: Upgrade"),
    (GET_WS, "Connection", "Connection: close, Upgrade"),
    (GET_WS, "Host", "Host: [2001:db8::1]:8080"),
    ("GET http://127.0.0.1:80/ws HTTP/1.1", "Host", "Host: other.example|Origin: http://127.0.0.1"),
    (GET_WS, "Upgrade", "upgrade: WebSocket"),
    (GET_WS, "Upgrade", "Upgrade: h2c, websocket"),
    (GET_WS, "Upgrade", "Upgrade: h2c|Upgrade: websocket"),
    (GET_WS, VERSION, "Sec-WebSocket-Version:   13  "),
    (GET_WS, "", "Content-Length: 0"),
    (GET_WS, "", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"),
    (GET_WS, "", "Cookie: a=b|User-Agent: test|Pragma: no-cache|Accept-Encoding: gzip, br"),
];

/// The example key of RFC 6455, section 4.1: the unused low bits of its last base64 character aren't zero, which strict
/// decoders reject.
#[test]
fn key_with_nonzero_trailing_bits_is_accepted() {
    let gateway = Gateway::start("");
    let response = fetch(&gateway, handshake_request(GET_WS, KEY, "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="));
    assert_eq!(response.status, 101, "{response:?}");
}

#[rustfmt::skip]
const INVALID: &[Case] = &[
    (GET_WS, "Upgrade",              "",                                        426, "upgrade_required", UPGRADE),
    (GET_WS, "Upgrade",              "Upgrade: h2c",                            426, "upgrade_required", UPGRADE),
    (GET_WS, "Upgrade",              "Upgrade: websockets",                     426, "upgrade_required", UPGRADE),
    ("HEAD /ws HTTP/1.1", "", "", 426, "", UPGRADE),
    ("HEAD /ws HTTP/1.1", "Upgrade", "", 426, "", UPGRADE),
    ("POST /ws HTTP/1.1", "", "", 405, "method_not_allowed", ALLOW),
    ("PUT /ws HTTP/1.1", "", "", 405, "method_not_allowed", ALLOW),
    ("OPTIONS /ws HTTP/1.1", "", "Origin: http://evil.example", 405, "method_not_allowed", ALLOW),
    ("get /ws HTTP/1.1", "", "", 405, "method_not_allowed", ALLOW),
    (GET_WS, "Connection",           "",                                        400, "bad_request", ""),
    (GET_WS, "Connection",           "Connection: keep-alive",                  400, "bad_request", ""),
    (GET_WS, "Connection",           "Connection: upgraded",                    400, "bad_request", ""),
    (GET_WS, VERSION,                "",                                        400, "bad_request", ""),
    (GET_WS, "",                     "Sec-WebSocket-Version: 13",               400, "bad_request", ""),
    (GET_WS, "",                     "Sec-WebSocket-Version: 8",                400, "bad_request", ""),
    (GET_WS, VERSION,                "Sec-WebSocket-Version: 8",                426, "version_not_supported", VERSION_13),
    (GET_WS, VERSION,                "Sec-WebSocket-Version: 12",               426, "version_not_supported", VERSION_13),
    (GET_WS, VERSION,                "Sec-WebSocket-Version: 14",               426, "version_not_supported", VERSION_13),
    (GET_WS, VERSION,                "Sec-WebSocket-Version: 13, 8",            426, "version_not_supported", VERSION_13),
    (GET_WS, VERSION,                "Sec-WebSocket-Version: 013",              426, "version_not_supported", VERSION_13),
    (GET_WS, VERSION,                "Sec-WebSocket-Version:",                  426, "version_not_supported", VERSION_13),
    (GET_WS, KEY,                    "",                                        400, "bad_request", ""),
    (GET_WS, KEY,                    "Sec-WebSocket-Key:",                      400, "bad_request", ""),
    (GET_WS, "",                     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", 400, "bad_request", ""),
    (GET_WS, KEY,                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA", 400, "bad_request", ""),
    (GET_WS, KEY,                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=", 400, "bad_request", ""),
    (GET_WS, KEY,                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA", 400, "bad_request", ""),
    (GET_WS, KEY,                    "Sec-WebSocket-Key: ----------------------==", 400, "bad_request", ""),
    (GET_WS, KEY,                    "Sec-WebSocket-Key: not base64, not at all", 400, "bad_request", ""),
    (GET_WS, "Host",                 "",                                        400, "bad_request", ""),
    (GET_WS, "Host",                 "Host:",                                   400, "bad_request", ""),
    (GET_WS, "",                     "Host: gw.example",                        400, "bad_request", ""),
    (GET_WS, "Host",                 "Host: gw.ex\u{e4}mple",                   400, "bad_request", ""),
    (GET_WS, "Host",                 "Host: a b",                               400, "bad_request", ""),
    (GET_WS, "Host",                 "Host: a/b",                               400, "bad_request", ""),
    (GET_WS, "Host",                 "Host: [::1",                              400, "bad_request", ""),
    (GET_WS, "Host",                 "Host: x:99999",                           400, "bad_request", ""),
    ("GET http://gw.example/ws HTTP/1.1", "Host", "Host: a b",                  400, "bad_request", ""),
    ("GET http://me@gw.example/ws HTTP/1.1", "", "",                            400, "bad_request", ""),
    ("GET http://gw.example/ws HTTP/1.1", "Host", "Host: other.example|Origin: http://other.example", 403, "origin_not_allowed", ""),
    ("GET /ws HTTP/1.0", "", "", 400, "bad_request", ""),
    (GET_WS, "",                     "Content-Length: 5",                       400, "bad_request", ""),
    (GET_WS, "",                     "Transfer-Encoding: chunked",              400, "bad_request", ""),
    (GET_WS, "",                     "Origin: http://gw.example|Origin: http://gw.example", 400, "bad_request", ""),
    ("GET /ws?token=x HTTP/1.1", "", "", 400, "token_in_query", ""),
    ("GET /ws?%74oken=x HTTP/1.1", "", "", 400, "token_in_query", ""),
    ("GET /ws?a=b&Access%5fToken=x HTTP/1.1", "", "", 400, "token_in_query", ""),
    ("GET /ws/ HTTP/1.1", "", "", 404, "not_found", ""),
    ("GET /WS HTTP/1.1", "", "", 404, "not_found", ""),
    ("GET / HTTP/1.1", "", "", 404, "not_found", ""),
    ("GET /%77s HTTP/1.1", "", "", 404, "not_found", ""),
];

#[test]
fn valid_handshake_opens_a_websocket() {
    let gateway = Gateway::start("");
    let mut ids = HashSet::new();
    for (line, removed, added) in VALID {
        let response = fetch(&gateway, handshake_request(line, removed, added));
        let what = format!("{line}, without {removed:?}, with {added:?}");
        assert_eq!(response.status, 101, "{what}: {response:?}");
        for (name, value) in [
            ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
            ("upgrade", Some("websocket")),
            ("connection", Some("Upgrade")),
            ("sec-websocket-extensions", None),
            ("sec-websocket-protocol", None),
            ("content-length", None),
            ("transfer-encoding", None),
        ] {
            assert_eq!(response.header(name), value, "{what}: {response:?}");
        }
        for name in ["Connection: ", "Upgrade: ", "Sec-WebSocket-Accept: ", "X-Conn-Id: "] {
            assert!(response.head.contains(&format!("\r\n{name}")), "the usual case of {name}: {response:?}");
        }
        let id = response.header("x-conn-id").expect(&what);
        let uuid = uuid::Uuid::parse_str(id).expect(&what);
        assert_eq!((uuid.get_version_num(), uuid.hyphenated().to_string().as_str()), (4, id), "{what}");
        assert!(ids.insert(uuid), "{what}: duplicate ID");
    }
    gateway.wait_for_status("all handshakes counted", |status| {
        status["handshakes"]["completed"] == VALID.len() && status["handshakes"]["in_progress"] == 0
    });
}

#[test]
fn invalid_handshake_is_rejected_with_status_and_code() {
    let gateway = Gateway::start("");
    for (line, removed, added, status, code, header) in INVALID {
        let mut connection = HttpConnection::open(&gateway);
        connection.send(handshake_request(line, removed, added));
        let response = connection.receive(!line.starts_with("HEAD "));
        let what = format!("{line}, without {removed:?}, with {added:?}");
        assert_eq!(response.status, *status, "{what}: {response:?}");
        response.assert_json(&what);
        match *code {
            "" => assert_eq!(response.body, "", "{what}: {response:?}"),
            code => assert_eq!(response.error_code(), code, "{what}: {response:?}"),
        }
        if let Some((name, value)) = header.split_once(": ") {
            assert_eq!(response.header(name), Some(value), "{what}: {response:?}");
        }
        if *status != 404 {
            let is_426 = *status == 426;
            assert_eq!(response.header("upgrade"), is_426.then_some("websocket"), "{what}: {response:?}");
            let options = if is_426 { "Upgrade, close" } else { "close" };
            assert_eq!(response.header("connection"), Some(options), "{what}: {response:?}");
            assert_eq!(connection.read_to_end(), "", "{what}");
        }
    }
    let status = gateway.status();
    assert_eq!(status["handshakes"]["completed"], 0);
    for code in [
        "upgrade_required",
        "method_not_allowed",
        "version_not_supported",
        "bad_request",
        "token_in_query",
        "origin_not_allowed",
    ] {
        let expected =
            INVALID.iter().filter(|case| case.4 == code || (case.4.is_empty() && code == "upgrade_required"));
        assert_eq!(status["handshakes"]["failed"][code], expected.count(), "{code}: {status:#}");
    }
}

/// Bytes that follow the request in the same segment are the client's first message.
#[test]
fn frame_sent_with_the_handshake_is_answered() {
    let gateway = Gateway::start("");
    let mut connection = HttpConnection::open(&gateway);
    let call = br#"{"jsonrpc":"2.0","id":7,"method":"gateway.ping"}"#;
    connection.send([handshake_request(GET_WS, "", "").as_bytes(), &client_frame(FIN | TEXT, call)].concat());
    assert_eq!(connection.receive(false).status, 101);
    let mut header = [0; 2];
    connection.reader.read_exact(&mut header).expect("a frame");
    assert_eq!(header[0], FIN | TEXT);
    let mut payload = vec![0; header[1].into()];
    connection.reader.read_exact(&mut payload).expect("its payload");
    let response: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(response, serde_json::json!({"jsonrpc": "2.0", "id": 7, "result": "pong"}));
}

/// The gateway writes the 101 itself, so it must wait until hyper has written the responses to earlier requests.
#[test]
fn handshake_behind_unread_responses_is_answered_after_them() {
    let gateway = Gateway::start("");
    let mut connection = HttpConnection::open(&gateway);
    SockRef::from(connection.reader.get_ref()).set_recv_buffer_size(4096).unwrap();
    let requests = 300;
    let mut writer = connection.reader.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let status = "GET /status HTTP/1.1\r\nHost: x\r\n\r\n".repeat(requests);
        writer.write_all((status + &handshake_request(GET_WS, "", "")).as_bytes()).unwrap();
    });
    for index in 0..requests {
        assert_eq!(connection.receive(true).status, 200, "{index}");
    }
    assert_eq!(connection.receive(false).status, 101);
    sender.join().unwrap();
    gateway.wait_for_clients(1);
}

/// A handshake with a header of this length.
fn handshake_of_length(length: usize) -> String {
    let bare = handshake_request(GET_WS, "", "X: ").len();
    handshake_request(GET_WS, "", &format!("X: {}", "x".repeat(length - bare)))
}

/// If the limit isn't a power of two, hyper's read buffer grows beyond it; the limit must hold all the same.
#[test]
fn header_above_the_limit_is_rejected() {
    for limit in [8_192, 10_000, 16_384, 40_000, 65_536] {
        let gateway = Gateway::start(&format!("[handshake]\nmax_header_bytes = {limit}"));
        let response = fetch(&gateway, handshake_of_length(limit));
        assert_eq!(response.status, 101, "{limit}: {response:?}");
        for length in [limit + 1, limit + 1000, 4 * limit] {
            let response = fetch(&gateway, handshake_of_length(length));
            // hyper's own response, without a body.
            let (status, connection) = (response.status, response.header("connection"));
            assert_eq!((status, connection), (431, Some("close")), "{length} of {limit} bytes");
        }
        gateway.wait_for_status("all counted", |status| status["handshakes"]["failed"]["header_too_large"] == 3);
    }
}

/// The peer keeps its side of the connection open, so that the gateway waits for it for up to `close_timeout`.
#[test]
fn refused_handshake_is_no_longer_in_progress() {
    let gateway = Gateway::start("[limits]\nclose_timeout = \"1h\"\n");
    for request in [handshake_request(GET_WS, KEY, ""), "no HTTP\r\n\r\n".to_owned()] {
        let mut connection = HttpConnection::open(&gateway);
        connection.send(request);
        assert_eq!(connection.receive(true).status, 400);
        gateway.wait_for_status("none in progress", |status| status["handshakes"]["in_progress"] == 0);
    }
}
