//! Who is connecting: clients' addresses behind proxies, the limits of each address, and refusals that browsers can see.

use crate::common::Gateway;
use crate::common::http::{GET_WS, HttpConnection, bearer, fetch, handshake_request, request};
use crate::common::namespace::Namespace;
use crate::common::raw_client::RawClient;
use crate::common::test_gateway::{TestGateway, token};
use crate::common::tools::require;
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use test_support::frames::{FIN, TEXT, client_frame};

const TRUSTED: &str = "[proxy]\ntrusted = [\"127.0.0.1\"]";
const CREDENTIALS: &[(&str, &str, &str)] = &[("ann", "operator", "clients:read")];

/// The headers of a proxy that passes on `addr`, with ann's token.
fn forwarded(addr: &str) -> String {
    format!("Authorization: {}|X-Forwarded-For: {addr}", bearer(&token("ann")))
}

/// The status and error code of a handshake with these headers.
fn refusal(gateway: &Gateway, headers: &str) -> (u16, String) {
    let response = fetch(gateway, handshake_request(GET_WS, "", headers));
    response.assert_json(headers);
    (response.status, response.error_code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The result of `gateway.whoami`.
fn whoami(client: &mut RawClient) -> Value {
    client.send(&client_frame(FIN | TEXT, br#"{"jsonrpc":"2.0","id":1,"method":"gateway.whoami"}"#));
    let (first, payload) = client.receive().expect("an answer");
    assert_eq!(first, FIN | TEXT);
    serde_json::from_slice::<Value>(&payload).expect("JSON")["result"].take()
}

/// Opens a connection that begins with these bytes, one at a time, and then upgrades it.
fn upgrade_after(gateway: &Gateway, header: &[u8]) -> RawClient {
    let mut stream = gateway.tcp();
    stream.set_nodelay(true).unwrap();
    header.iter().for_each(|byte| stream.write_all(&[*byte]).unwrap());
    RawClient::upgrade(stream, &format!("Authorization: {}", bearer(&token("ann"))))
}

#[test]
fn trusted_proxy_passes_on_the_client_s_address() {
    let gateway = TestGateway::start(CREDENTIALS, TRUSTED);
    for (header, addr) in [
        (forwarded("198.51.100.1, 192.0.2.1"), "192.0.2.1"),
        (forwarded("[2001:db8::1]:4711, 127.0.0.1"), "[2001:db8::1]:4711"),
        // Not the configured header.
        (format!("{}|Forwarded: for=198.51.100.1", forwarded("192.0.2.1")), "192.0.2.1"),
    ] {
        let mut client = RawClient::upgrade(gateway.tcp(), &header);
        assert_eq!(whoami(&mut client)["remote_addr"], addr, "{header}");
        let (_, list) = gateway.http("ann", &format!("GET /clients?address={}", "2001:db8::%2F32"), "");
        let is_ipv6 = addr.contains("2001");
        assert_eq!(list["clients"].as_array().unwrap().len(), usize::from(is_ipv6), "{list}");
        gateway.wait_for_line("the address", |line| line.contains(" connected ") && line.ends_with(addr));
        drop(client);
        gateway.wait_for_clients(0);
    }
    assert_eq!(refusal(&gateway, "X-Forwarded-For: 192.0.2.9"), refused(401, "unauthorized"));
    gateway.wait_for_line("the refusal", |line| line.contains("handshake refused remote_addr=192.0.2.9 status=401"));
    let forwarded = TestGateway::start(CREDENTIALS, &format!("{TRUSTED}\nheader = \"forwarded\""));
    let header = format!("Authorization: {}|Forwarded: for=198.51.100.1, for=192.0.2.1", bearer(&token("ann")));
    assert_eq!(whoami(&mut RawClient::upgrade(forwarded.tcp(), &header))["remote_addr"], "192.0.2.1");
}

#[test]
fn forwarding_headers_of_others_are_ignored_with_one_warning() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    for _ in 0..2 {
        let mut client = RawClient::upgrade(gateway.tcp(), &forwarded("192.0.2.1"));
        let addr = whoami(&mut client)["remote_addr"].take();
        assert!(addr.as_str().unwrap().starts_with("127.0.0.1:"), "{addr}");
    }
    let (_, log) = gateway.0.stop();
    let warnings = log.iter().filter(|line| line.contains("add it to proxy.trusted remote_addr=127.0.0.1:")).count();
    assert_eq!(warnings, 1, "{log:#?}");
}

#[test]
fn without_credentials_only_clients_on_this_machine_may_connect() {
    let admin = |gateway: &Gateway, addr: &str| {
        fetch(gateway, request("GET /clients", None, &format!("X-Forwarded-For: {addr}\r\n"), "")).status
    };
    // A proxy that isn't configured: even an address of this machine may be made up.
    let gateway = Gateway::start("");
    for addr in ["192.0.2.1", "127.0.0.1"] {
        let response = fetch(&gateway, handshake_request(GET_WS, "", &format!("X-Forwarded-For: {addr}")));
        assert_eq!((response.status, response.error_code().as_str()), (403, "not_local"));
        assert!(response.body.contains("proxy.trusted"), "{response:?}");
        assert_eq!(admin(&gateway, addr), 403);
    }
    assert_eq!(refusal(&gateway, "Forwarded: for=192.0.2.1"), refused(403, "not_local"));
    assert_eq!(gateway.status()["handshakes"]["failed"]["not_local"], 3);
    let gateway = Gateway::start(TRUSTED);
    assert_eq!(refusal(&gateway, "X-Forwarded-For: 192.0.2.1"), refused(403, "not_local"));
    assert_eq!(admin(&gateway, "192.0.2.1"), 403);
    assert_eq!(admin(&gateway, "127.0.0.2"), 200);
    RawClient::upgrade(gateway.tcp(), "X-Forwarded-For: 127.0.0.2");
    let gateway = Gateway::start("[auth]\nallow_insecure = true");
    RawClient::upgrade(gateway.tcp(), "X-Forwarded-For: 192.0.2.1");
}

#[test]
fn proxy_protocol_names_the_client() {
    let gateway =
        TestGateway::start(CREDENTIALS, &format!("{TRUSTED}\nprotocol = true\n[ops]\nlisten = \"127.0.0.1:0\""));
    let v2 = |rest: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", rest].concat();
    for (header, expected) in [
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n".to_vec(), "192.0.2.1:4711"),
        (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(), "[2001:db8::1]:4711"),
        (v2(b"\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\x12\x67\0\x50"), "192.0.2.1:4711"),
        // The proxy's own connections.
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1:"),
        (v2(b"\x20\0\0\0"), "127.0.0.1:"),
    ] {
        let addr = whoami(&mut upgrade_after(&gateway, &header))["remote_addr"].take();
        assert!(addr.as_str().unwrap().starts_with(expected), "{addr}, not {expected}");
    }
    let missing = fetch(&gateway, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((missing.status, missing.error_code().as_str()), (400, "invalid_proxy_header"));
    // Operators, and a peer that isn't a proxy, send no header.
    let line = gateway.wait_for_line("the address", |line| line.contains("listening role=admin addr="));
    let stream = TcpStream::connect(line.rsplit("addr=").next().unwrap()).unwrap();
    let mut admin = HttpConnection { reader: BufReader::new(stream) };
    admin.send("GET /status HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(admin.receive(true).status, 200);
}

#[test]
fn proxy_protocol_header_of_another_peer_is_refused_with_one_warning() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    for _ in 0..2 {
        let mut connection = HttpConnection::open(&gateway);
        connection.send("PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n");
        assert!(connection.read_to_end().starts_with("HTTP/1.1 400 "));
    }
    let (_, log) = gateway.0.stop();
    let warnings = log.iter().filter(|line| line.contains("PROXY protocol header is refused")).count();
    assert_eq!(warnings, 1, "{log:#?}");
}

#[test]
fn connections_of_one_address_are_limited() {
    let settings = format!("{TRUSTED}\n[per_address]\nmax_connections = 2\nmax_connects_per_second = 0");
    let gateway = TestGateway::start(CREDENTIALS, &settings);
    let connect = |addr| RawClient::upgrade(gateway.tcp(), &forwarded(addr));
    let first = connect("192.0.2.1");
    let _others = [connect("192.0.2.1"), connect("192.0.2.2"), connect("2001:db8::1"), connect("2001:db8::2:1")];
    for addr in ["192.0.2.1", "2001:db8::3:1"] {
        let response = fetch(&gateway, handshake_request(GET_WS, "", &forwarded(addr)));
        assert_eq!((response.status, response.error_code().as_str()), (429, "too_many_connections"), "{addr}");
        assert_eq!(response.header("retry-after"), Some("5"));
    }
    let _another_network = connect("2001:db8:0:1::1");
    drop(first);
    gateway.wait_for_clients(5);
    // The slot is free shortly after the client is gone.
    gateway.wait_for_status("a free slot", |_| {
        fetch(&gateway, handshake_request(GET_WS, "", &forwarded("192.0.2.1"))).status == 101
    });
    assert!(gateway.status()["handshakes"]["failed"]["too_many_connections"].as_u64() >= Some(2));
    // The proxy itself isn't limited.
    for _ in 0..5 {
        assert_eq!(fetch(&gateway, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    }
}

#[test]
fn connects_of_one_address_are_limited() {
    let settings =
        format!("{TRUSTED}\nprotocol = true\n[per_address]\nmax_connections = 5\nmax_connects_per_second = 1");
    let gateway = TestGateway::start(CREDENTIALS, &settings);
    let mut refusals = 0;
    for _ in 0..20 {
        let mut connection = HttpConnection::open(&gateway);
        connection.send(
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        let response = connection.receive(true);
        if response.status != 200 {
            assert_eq!((response.status, response.error_code().as_str()), (429, "too_many_connects"));
            refusals += 1;
        }
    }
    assert!((1..=15).contains(&refusals), "{refusals}");
    let other = b"PROXY TCP4 192.0.2.2 10.0.0.1 4711 80\r\n";
    assert_eq!(whoami(&mut upgrade_after(&gateway, other))["remote_addr"], "192.0.2.2:4711");
}

#[test]
fn failed_authentications_lock_an_address_out_but_not_valid_credentials() {
    let settings = format!("{TRUSTED}\n[per_address]\nmax_failures_per_minute = 3");
    let gateway = TestGateway::start(CREDENTIALS, &settings);
    let wrong = |addr: &str| refusal(&gateway, &format!("Authorization: Bearer wrong|X-Forwarded-For: {addr}"));
    // Requests without a credential don't count.
    for _ in 0..5 {
        assert_eq!(refusal(&gateway, "X-Forwarded-For: 192.0.2.1"), refused(401, "unauthorized"));
    }
    for _ in 0..3 {
        assert_eq!(wrong("192.0.2.1"), refused(401, "unauthorized"));
    }
    for seconds in ["5", "10", "20"] {
        let headers = "Authorization: Bearer wrong|X-Forwarded-For: 192.0.2.1";
        let response = fetch(&gateway, handshake_request(GET_WS, "", headers));
        assert_eq!((response.status, response.error_code().as_str()), (429, "too_many_failures"));
        assert_eq!(response.header("retry-after"), Some(seconds));
    }
    // At the admin API too.
    let headers = "X-Forwarded-For: 192.0.2.1\r\n";
    let response = fetch(&gateway, request("GET /clients", Some("Bearer wrong"), headers, ""));
    assert_eq!((response.status, response.error_code().as_str()), (429, "too_many_failures"));
    assert_eq!(wrong("192.0.2.2"), refused(401, "unauthorized"));
    assert_eq!(whoami(&mut RawClient::upgrade(gateway.tcp(), &forwarded("192.0.2.1")))["remote_addr"], "192.0.2.1");
    let failed = &gateway.status()["handshakes"]["failed"];
    assert_eq!((&failed["unauthorized"], &failed["too_many_failures"]), (&json!(9), &json!(3)));
    let (_, log) = gateway.0.stop();
    let lockouts = log.iter().filter(|line| line.contains("locked out remote_addr=192.0.2.1")).count();
    assert_eq!(lockouts, 1, "{log:#?}");
}

#[test]
fn refusals_in_band_have_close_codes() {
    let settings = format!(
        "{TRUSTED}\n[per_address]\nmax_connections = 1\nmax_failures_per_minute = 1\n[presence]\noperator = \"reject\"\n\
         [limits]\nmax_connections = 3\n[handshake]\nrefuse_in_band = true"
    );
    let gateway = TestGateway::start(&["ann", "bob", "cid", "dan"].map(|name| (name, "operator", "")), &settings);
    let close = |headers: &str| RawClient::upgrade(gateway.tcp(), headers).wait_for_close();
    let closed = |code: u16, reason: &str| Some((code, reason.to_owned()));
    let wrong = "Authorization: Bearer wrong";
    assert_eq!(close(""), closed(4003, "unauthorized"));
    let browser = "Sec-WebSocket-Protocol: aisopod.v1, bearer.wrong|X-Forwarded-For: 192.0.2.7";
    assert_eq!(close(browser), closed(4003, "unauthorized"));
    assert_eq!(close(&format!("{wrong}|X-Forwarded-For: 192.0.2.8")), closed(4003, "unauthorized"));
    gateway.wait_for_status("the first connection of this address no longer counts", |_| {
        close(&format!("{wrong}|X-Forwarded-For: 192.0.2.8")) == closed(4104, "too_many_failures")
    });
    let _ann = RawClient::upgrade(gateway.tcp(), &forwarded("192.0.2.1"));
    assert_eq!(close(&forwarded("192.0.2.1")), closed(4104, "too_many_connections"));
    assert_eq!(close(&forwarded("192.0.2.2")), closed(4103, "presence_taken"));
    // What no browser sends, or what isn't a handshake, still gets a status.
    let handshake = handshake_request(GET_WS, "Sec-WebSocket-Version", wrong);
    assert_eq!(fetch(&gateway, handshake).status, 400);
    assert_eq!(fetch(&gateway, request("GET /clients", Some("Bearer wrong"), "", "")).status, 401);
    let failed = &gateway.status()["handshakes"]["failed"];
    assert_eq!(failed["unauthorized"], 3, "{failed}");
    let mut others = Vec::new();
    gateway.wait_for_status("clients in all slots", |status| match status["clients"]["total_connections"].as_u64() {
        Some(clients @ 1..3) => {
            // A closed connection may still have the slot; then this is refused.
            others.extend(gateway.try_connect(if clients == 1 { "cid" } else { "dan" }));
            false
        }
        clients => clients == Some(3),
    });
    let bob = format!("Authorization: {}", bearer(&token("bob")));
    assert_eq!(close(&bob), closed(1013, "full"));
}

#[test]
fn direct_peers_are_limited_by_their_own_addresses() {
    let (Some(curl), Some(namespace)) = (require("curl"), Namespace::create()) else { return };
    for addr in ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.9/32"] {
        namespace.ip(&["address", "add", addr, "dev", "lo"]);
    }
    let settings = "listen = [\"127.0.0.1:0\", \"192.0.2.9:8080\"]\n[ops]\nlisten = \"192.0.2.9:8081\"\n\
                    [per_address]\nmax_connections = 2\nmax_connects_per_second = 1\n[auth]\nallow_insecure = true";
    let _gateway = Gateway::start_with(namespace.command(Gateway::binary()), settings);
    let get = |addr: &str, port: &str| {
        let mut command = namespace.command(&curl);
        command.args(["-sS", "--noproxy", "*", "-w", "%{http_code}", "--interface", addr]);
        let output = command.arg(format!("http://192.0.2.9:{port}/healthz")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let answers: Vec<String> = (0..6).map(|_| get("192.0.2.1", "8080")).collect();
    assert!(answers[..2].iter().all(|answer| answer.ends_with("200")), "{answers:?}");
    // curl may see a reset instead of the response, which it gets before it has sent its request.
    assert!(answers[2..].iter().any(|answer| !answer.ends_with("200")), "{answers:?}");
    assert!(get("192.0.2.2", "8080").ends_with("200"));
    assert!(get("192.0.2.1", "8081").ends_with("200"), "ops.listen counts apart");
}
