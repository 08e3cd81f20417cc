//! Who is let in: tokens, passwords, and pages by their origin; and that no secret is ever logged.

use crate::common::Gateway;
use crate::raw::{Answer, WS, ask, handshake};
use aisopod_gateway::auth::SecretDigest;

const TOKEN: &str = "open-sesame_0123456789-ABCDEFGHIJKLMNOPQRST";
const PASSWORD: &str = "correct:horse battery staple";

/// The lines that are added to a good handshake (split at `|`), and what must come of it: a status, and an error's
/// code or the selected subprotocol.
type Case = (&'static str, u16, &'static str);

/// `TOKEN` and `PASSWORD` stand for the right ones; what `b64(...)` holds is sent in base64.
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

/// The `Origin`, the `Host`, and whether a page of that origin may connect: with `auth.mode` none, and with a token.
#[rustfmt::skip]
const ORIGINS: &[(&str, &str, bool, bool)] = &[
    ("http://127.0.0.1:8080",     "127.0.0.1:8080", true,  true),
    ("http://localhost:8080",     "localhost:8080", true,  true),
    ("http://LocalHost:8080",     "localhost:8080", true,  true),
    ("https://[::1]",             "[::1]",          true,  true),
    ("http://127.0.0.1:9090",     "127.0.0.1:8080", false, false),
    ("http://localhost:8080",     "127.0.0.1:8080", false, false),
    ("https://gw.example",        "gw.example",     false, true),
    ("https://gw.example",        "gw.example:443", false, true),
    ("http://rebound.example",    "rebound.example", false, true),
    ("https://app.example",       "gw.example",     true,  true),
    ("HTTPS://APP.EXAMPLE",       "gw.example",     true,  true),
    ("https://app.example:8443",  "gw.example",     false, false),
    ("http://app.example",        "gw.example",     false, false),
    ("https://evil.example",      "gw.example",     false, false),
    ("https://gw.example.evil.example", "gw.example", false, false),
    ("null",                      "gw.example",     false, false),
    ("",                          "gw.example",     false, false),
    ("file://",                   "gw.example",     false, false),
];

/// Settings with one credential, alice's.
fn settings(mode: &str, secret: &str) -> String {
    let digest = SecretDigest::of(secret.as_bytes()).to_hex();
    format!(
        "log_level = \"trace\"\n[auth]\nmode = \"{mode}\"\n[[auth.credentials]]\nname = \"alice\"\nrole = \"node\"\n\
         {mode}_sha256 = \"{digest}\"\n"
    )
}

/// Fills in the secrets, and encodes what is to be in base64.
fn fill(added: &str) -> String {
    let mut text = added.replace("TOKEN", TOKEN).replace("PASSWORD", PASSWORD);
    while let Some((before, rest)) = text.split_once("b64(") {
        let (inside, behind) = rest.split_once(')').expect("a closing parenthesis");
        text = format!("{before}{}{behind}", data_encoding::BASE64.encode(inside.as_bytes()));
    }
    text
}

/// Asks with each of the cases, and checks that no secret shows up in an answer or in the log.
fn check_all(gateway: Gateway, cases: &[Case], challenge: &str) {
    for (added, status, word) in cases {
        let answer = ask(&gateway, handshake(WS, "", &fill(added)));
        check(&answer, *status, word, challenge, added);
    }
    let good = cases.iter().filter(|case| case.1 == 101).count();
    gateway.wait_for_status("all good ones are counted", |status| status["handshakes"]["completed"] == good);
    check_log(gateway);
}

fn check(answer: &Answer, status: u16, word: &str, challenge: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    let selected = (status == 101 && !word.is_empty()).then_some(word);
    assert_eq!(answer.header("sec-websocket-protocol"), selected, "{what}: {answer:?}");
    assert_eq!(answer.header("www-authenticate"), (status == 401).then_some(challenge), "{what}: {answer:?}");
    let echoes = [TOKEN, PASSWORD].iter().any(|secret| answer.head.contains(secret) || answer.body.contains(secret));
    assert!(!echoes, "{what}: {answer:?}");
    if status != 101 {
        answer.check(what);
        assert_eq!(answer.code(), word, "{what}: {answer:?}");
    }
}

/// Ends the gateway and looks for secrets in all that it has logged.
fn check_log(gateway: Gateway) {
    let (_, log) = gateway.stop();
    assert!(log.iter().any(|line| line.contains("handshake refused")), "the log shows refusals: {log:#?}");
    let encoded = fill("b64(alice:PASSWORD)");
    for secret in [TOKEN, PASSWORD, &encoded] {
        assert!(!log.iter().any(|line| line.contains(secret)), "{secret} is in the log: {log:#?}");
    }
}

#[test]
fn tokens_open_the_gateway() {
    check_all(Gateway::start(&settings("token", TOKEN)), TOKENS, "Bearer realm=\"aisopod-gateway\"");
}

#[test]
fn passwords_open_the_gateway() {
    check_all(Gateway::start(&settings("password", PASSWORD)), PASSWORDS, "Basic realm=\"aisopod-gateway\"");
}

#[test]
fn a_client_is_who_its_credential_says() {
    let gateway = Gateway::start(&settings("token", TOKEN));
    let bearer = format!("Bearer {TOKEN}");
    let (mut client, _) = gateway.connect_with(&[("Authorization", &bearer)]).expect("the right token");
    let me = client.call("gateway.whoami");
    assert_eq!((&me["result"]["presence_key"], &me["result"]["role"]), (&"node:alice".into(), &"node".into()), "{me}");
    assert_eq!(gateway.wait_for_clients(1)["clients"]["nodes"], 1);
}

/// Neither is the right token any good in an address, nor does it get into the log from there.
#[test]
fn tokens_in_the_address_are_refused_unlogged() {
    let gateway = Gateway::start(&settings("token", TOKEN));
    let right = fill("Authorization: Bearer TOKEN");
    for query in ["token=TOKEN", "x=1&access_token=TOKEN", "Token=TOKEN", "a&TOKEN&token", "ACCESS_TOKEN=TOKEN&b=2"] {
        for added in ["", &right] {
            let line = format!("GET /ws?{} HTTP/1.1", fill_query(query));
            check(&ask(&gateway, handshake(&line, "", added)), 400, "token_in_query", "", query);
        }
    }
    let line = format!("GET /status?token={TOKEN} HTTP/1.1");
    check(&ask(&gateway, handshake(&line, "", "")), 400, "token_in_query", "", "not the WebSocket's");
    check_log(gateway);
}

/// The name of a parameter in capitals stays as it is.
fn fill_query(query: &str) -> String {
    query.replace("=TOKEN", &format!("={TOKEN}")).replace("&TOKEN", &format!("&{TOKEN}"))
}

#[test]
fn pages_may_connect_by_their_origin() {
    let listed = "[handshake]\nallowed_origins = [\"https://app.example\"]\n";
    let open = Gateway::start(listed);
    let closed = Gateway::start(&(settings("token", TOKEN) + listed));
    for (origin, host, while_open, with_token) in ORIGINS {
        for (gateway, allowed) in [(&open, while_open), (&closed, with_token)] {
            let added = format!("Host: {host}|Origin: {origin}|Authorization: Bearer {TOKEN}");
            let answer = ask(gateway, handshake(WS, "Host", &added));
            let what = format!("{origin} at {host}, {}", if *allowed { "allowed" } else { "not allowed" });
            match allowed {
                true => assert_eq!(answer.status, 101, "{what}: {answer:?}"),
                false => check(&answer, 403, "origin_not_allowed", "", &what),
            }
        }
    }
}

#[test]
fn every_origin_may_be_allowed() {
    let gateway = Gateway::start("[handshake]\nallowed_origins = [\"*\"]\n");
    for origin in ["https://evil.example", "null", "http://gw.example"] {
        assert_eq!(ask(&gateway, handshake(WS, "", &format!("Origin: {origin}"))).status, 101, "{origin}");
    }
}
