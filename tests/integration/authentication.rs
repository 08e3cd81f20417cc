//! Tokens, passwords and origins of web pages in handshakes. No secret is ever logged.

use crate::common::http::{GET_WS, Response, fetch, handshake_request};
use crate::common::test_gateway::{TestGateway, digest};
use crate::common::{Gateway, wait_until};

const TOKEN: &str = "open-sesame_0123456789-ABCDEFGHIJKLMNOPQRST";
const PASSWORD: &str = "correct:horse battery staple";

/// The lines added to a handshake (separated by `|`), and what the response must have: a status, and an error code or
/// the selected subprotocol.
type Case = (&'static str, u16, &'static str);

/// `TOKEN` and `PASSWORD` are replaced by the valid ones, `b64(...)` by its content in base64.
#[rustfmt::skip]
const TOKENS: &[Case] = &[
    ("Authorization: Bearer TOKEN",                                              101, ""),
    ("authorization: bearer TOKEN",                                              101, ""),
    ("Authorization: BEARER   TOKEN ",                                           101, ""),
    ("Authorization: Bearer TOKEN|Sec-WebSocket-Protocol: chat, aisopod.v1",     101, "aisopod.v1"),
    ("Authorization: Bearer TOKEN|Sec-WebSocket-Protocol: chat",                 101, ""),
    ("Sec-WebSocket-Protocol: aisopod.v1, bearer.TOKEN",                         101, "aisopod.v1"),
    ("Sec-WebSocket-Protocol: bearer.TOKEN,aisopod.v1",                          101, "aisopod.v1"),
    ("Sec-WebSocket-Protocol: bearer.TOKEN|Sec-WebSocket-Protocol: aisopod.v1",  101, "aisopod.v1"),
    ("Sec-WebSocket-Protocol: bearer.TOKEN",                                     400, "bad_request"),
    ("Sec-WebSocket-Protocol: bearer.TOKEN, AISOPOD.V1",                         400, "bad_request"),
    ("",                                                                         401, "unauthorized"),
    ("Sec-WebSocket-Protocol: aisopod.v1",                                       401, "unauthorized"),
    ("Sec-WebSocket-Protocol: aisopod.v1, bearer.wrong",                         401, "unauthorized"),
    ("Sec-WebSocket-Protocol: aisopod.v1, bearer.",                              401, "unauthorized"),
    ("Authorization: Bearer wrong",                                              401, "unauthorized"),
    ("Authorization: Bearer TOKENx",                                             401, "unauthorized"),
    ("Authorization: Bearer ",                                                   400, "bad_request"),
    ("Authorization: TOKEN",                                                     400, "bad_request"),
    ("Authorization: Digest TOKEN",                                              401, "unauthorized"),
    ("Authorization: Basic b64(alice:TOKEN)",                                    401, "unauthorized"),
    ("Authorization: Bearer TOKEN|Sec-WebSocket-Protocol: aisopod.v1, bearer.TOKEN", 400, "ambiguous_credentials"),
    ("Sec-WebSocket-Protocol: aisopod.v1, bearer.TOKEN, bearer.TOKEN",           400, "ambiguous_credentials"),
    ("Authorization: Bearer TOKEN|Authorization: Bearer TOKEN",                  400, "ambiguous_credentials"),
    ("Authorization: Bearer wrong|Authorization: Bearer TOKEN",                  400, "ambiguous_credentials"),
];

#[rustfmt::skip]
const PASSWORDS: &[Case] = &[
    ("Authorization: Basic b64(alice:PASSWORD)",                                 101, ""),
    ("Authorization: basic b64(alice:PASSWORD)|Sec-WebSocket-Protocol: aisopod.v1", 101, "aisopod.v1"),
    ("",                                                                         401, "unauthorized"),
    ("Authorization: Basic b64(alice:wrong)",                                    401, "unauthorized"),
    ("Authorization: Basic b64(alice:)",                                         401, "unauthorized"),
    ("Authorization: Basic b64(Alice:PASSWORD)",                                 401, "unauthorized"),
    ("Authorization: Basic b64(bob:PASSWORD)",                                   401, "unauthorized"),
    ("Authorization: Basic b64(:PASSWORD)",                                      401, "unauthorized"),
    ("Authorization: Bearer PASSWORD",                                           401, "unauthorized"),
    ("Authorization: Basic b64(alice)",                                          400, "bad_request"),
    ("Authorization: Basic b64(al\u{0}ce:x)",                                    401, "unauthorized"),
    ("Authorization: Basic alice:PASSWORD",                                      400, "bad_request"),
    ("Authorization: Basic YWxpY2U6c2VjcmV0x",                                   400, "bad_request"),
    ("Authorization: Basic",                                                     400, "bad_request"),
    ("Authorization: Basic b64(alice:PASSWORD)|Authorization: Basic b64(alice:PASSWORD)", 400, "ambiguous_credentials"),
];

/// `Origin`, `Host`, and whether a page of that origin may connect: with `auth.mode = "none"`, and with a token.
#[rustfmt::skip]
const ORIGINS: &[(&str, &str, bool, bool)] = &[
    ("http://127.0.0.1:8080",     "127.0.0.1:8080", true,  true),
    ("http://localhost:8080",     "localhost:8080", true,  true),
    ("http://127.0.0.1:9090",     "127.0.0.1:8080", false, false),
    ("http://localhost:8080",     "127.0.0.1:8080", false, false),
    ("https://gw.example",        "gw.example",     false, true),
    ("https://app.example",       "gw.example",     true,  true),
    ("HTTPS://APP.EXAMPLE",       "gw.example",     true,  true),
    ("https://app.example:443",   "gw.example",     true,  true),
    ("https://app.example:8443",  "gw.example",     false, false),
    ("https://a.pages.example",   "gw.example",     true,  true),
    ("https://pages.example",     "gw.example",     false, false),
    ("ws://127.0.0.1:8080",       "127.0.0.1:8080", true,  true),
    ("wss://gw.example",          "gw.example:443", false, true),
    ("file://",                   "gw.example",     true,  true),
    ("null",                      "gw.example",     false, false),
];

/// Settings with one credential, that of alice.
fn settings(mode: &str, secret: &str) -> String {
    let digest = digest(secret);
    format!(
        "log_level = \"trace\"\n[auth]\nmode = \"{mode}\"\n[[auth.credentials]]\nname = \"alice\"\nrole = \"node\"\n\
         {mode}_sha256 = \"{digest}\"\n"
    )
}

/// Replaces the names of secrets, and encodes `b64(...)`.
fn fill(added: &str) -> String {
    let mut text = added.replace("TOKEN", TOKEN).replace("PASSWORD", PASSWORD);
    while let Some((before, rest)) = text.split_once("b64(") {
        let (inside, after) = rest.split_once(')').expect("a closing parenthesis");
        text = format!("{before}{}{after}", data_encoding::BASE64.encode(inside.as_bytes()));
    }
    text
}

/// Sends the handshake of each case, and checks that no response and no log line contains a secret.
fn assert_cases(gateway: Gateway, cases: &[Case], challenge: &str) {
    for (added, status, code_or_protocol) in cases {
        let response = fetch(&gateway, handshake_request(GET_WS, "", &fill(added)));
        assert_response(&response, *status, code_or_protocol, challenge, added);
    }
    let valid = cases.iter().filter(|case| case.1 == 101).count();
    gateway.wait_for_status("all valid handshakes counted", |status| status["handshakes"]["completed"] == valid);
    assert_no_secret_logged(gateway);
}

fn assert_response(response: &Response, status: u16, code_or_protocol: &str, challenge: &str, what: &str) {
    assert_eq!(response.status, status, "{what}: {response:?}");
    let selected = (status == 101 && !code_or_protocol.is_empty()).then_some(code_or_protocol);
    assert_eq!(response.header("sec-websocket-protocol"), selected, "{what}: {response:?}");
    assert_eq!(response.header("www-authenticate"), (status == 401).then_some(challenge), "{what}: {response:?}");
    let echoes =
        [TOKEN, PASSWORD].iter().any(|secret| response.head.contains(secret) || response.body.contains(secret));
    assert!(!echoes, "{what}: {response:?}");
    if status != 101 {
        response.assert_json(what);
        assert_eq!(response.error_code(), code_or_protocol, "{what}: {response:?}");
    }
}

/// Stops the gateway and checks that its log has no secret.
fn assert_no_secret_logged(gateway: Gateway) {
    let (_, log) = gateway.stop();
    assert!(log.iter().any(|line| line.contains("handshake refused")), "no rejected handshake in the log: {log:#?}");
    let encoded = fill("b64(alice:PASSWORD)");
    for secret in [TOKEN, PASSWORD, &encoded] {
        assert!(!log.iter().any(|line| line.contains(secret)), "{secret} is in the log: {log:#?}");
    }
}

#[test]
fn token_is_accepted_as_header_or_subprotocol() {
    assert_cases(Gateway::start(&settings("token", TOKEN)), TOKENS, "Bearer realm=\"aisopod-gateway\"");
}

#[test]
fn password_is_accepted_as_basic_auth() {
    assert_cases(
        Gateway::start(&settings("password", PASSWORD)),
        PASSWORDS,
        "Basic realm=\"aisopod-gateway\", charset=\"UTF-8\"",
    );
}

/// Even if the request also has a valid `Authorization` header.
#[test]
fn token_in_query_is_rejected_and_not_logged() {
    let gateway = Gateway::start(&settings("token", TOKEN));
    let right = fill("Authorization: Bearer TOKEN");
    for target in [
        format!("/ws?token={TOKEN}"),
        format!("/ws?x=1&access_token={TOKEN}"),
        format!("/ws?Token={TOKEN}"),
        format!("/ws?a&{TOKEN}&token"),
        format!("/ws?ACCESS_TOKEN={TOKEN}&b=2"),
        format!("/status?token={TOKEN}"),
    ] {
        for added in ["", &right] {
            let response = fetch(&gateway, handshake_request(&format!("GET {target} HTTP/1.1"), "", added));
            assert_response(&response, 400, "token_in_query", "", &target);
        }
    }
    assert_no_secret_logged(gateway);
}

#[test]
fn page_connects_only_from_an_allowed_origin() {
    let listed =
        "[handshake]\nallowed_origins = [\"https://App.example:443\", \"https://*.pages.example\", \"file://\"]\n";
    let without = Gateway::start(listed);
    let with = Gateway::start(&(settings("token", TOKEN) + listed));
    for (origin, host, without_auth, with_token) in ORIGINS {
        for (gateway, allowed) in [(&without, without_auth), (&with, with_token)] {
            let added = format!("Host: {host}|Origin: {origin}|Authorization: Bearer {TOKEN}");
            let response = fetch(gateway, handshake_request(GET_WS, "Host", &added));
            let what = format!("{origin} at {host}, {}", if *allowed { "allowed" } else { "not allowed" });
            if *allowed {
                assert_eq!(response.status, 101, "{what}: {response:?}");
            } else {
                assert_response(&response, 403, "origin_not_allowed", "", &what);
            }
        }
    }
}

#[test]
fn origin_wildcard_allows_every_page() {
    let gateway = Gateway::start(&(settings("token", TOKEN) + "[handshake]\nallowed_origins = [\"*\"]\n"));
    for origin in ["https://evil.example", "null", "http://gw.example"] {
        let added = format!("Origin: {origin}|Authorization: Bearer {TOKEN}");
        let response = fetch(&gateway, handshake_request(GET_WS, "", &added));
        assert_eq!(response.status, 101, "{origin}");
    }
}

/// For operators and for tools such as fail2ban. An attack doesn't fill the log.
#[test]
fn connects_and_refusals_are_logged_with_address_and_cause_up_to_a_limit() {
    let settings = "[per_address]\nmax_failures_per_minute = 1000";
    let gateway = TestGateway::start(&[("ann", "operator", "")], settings);
    let _ann = gateway.connect("ann");
    let line = gateway.wait_for_line("the connect", |line| line.contains(" connected conn_id="));
    assert!(line.contains(" role=operator presence_key=operator:ann remote_addr=127.0.0.1:"), "{line}");
    for _ in 0..100 {
        assert_eq!(fetch(&gateway, handshake_request(GET_WS, "", "Authorization: Bearer wrong")).status, 401);
    }
    // One line for each, or a count of those without a line.
    let refusals = |line: &String| match line.split_once(" more requests were refused or timed out count=") {
        Some((_, counts)) => {
            let (count, causes) = counts.split_once(' ').unwrap();
            assert_eq!(causes, format!("unauthorized={count}"));
            count.parse::<usize>().unwrap()
        }
        None => usize::from(line.contains(" handshake refused remote_addr=127.0.0.1:")),
    };
    wait_until("all refusals in the log", || gateway.log().iter().map(refusals).sum::<usize>() == 100);
    gateway.wait_for_line("a cause", |line| line.ends_with(" status=401 cause=unauthorized"));
}
