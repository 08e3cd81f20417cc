//! Clients that reach the gateway through nginx, HAProxy or Caddy, where TLS ends.

use super::packages::{Package, assert_closed, assert_large_echo, call, call_and_close};
use super::proxy::{CADDY, HAPROXY, Kind, NGINX, Proxy, Upstream};
use crate::common::http::{GET_WS, handshake_request};
use crate::common::process::Process;
use crate::common::test_gateway::{TestGateway, token};
use crate::common::wait_until;
use serde_json::json;

fn start_gateway(settings: &str) -> TestGateway {
    TestGateway::start(&[("ann", "operator", "")], settings)
}

/// Starts a proxy with the documented idle timeout.
fn start_proxy(kind: &'static Kind, gateway: &TestGateway) -> Option<Proxy> {
    Proxy::start(kind, gateway, Upstream::Tcp, "90s")
}

/// A connected client.
fn open(proxy: &Proxy, package: &Package) -> Option<Process> {
    let (client, first) = proxy.connect(package, &["--header", &token("ann")])?;
    assert_eq!(first, json!({"protocol": ""}));
    Some(client)
}

fn clients_connect_with_tls_and_call_methods(kind: &'static Kind) -> Option<()> {
    let gateway = start_gateway("");
    for upstream in [Upstream::Tcp, Upstream::Unix] {
        let proxy = Proxy::start(kind, &gateway, upstream, "90s")?;
        for package in &Package::ALL {
            let mut client = open(&proxy, package)?;
            assert_eq!(call(&mut client, "gateway.whoami")["presence_key"], "operator:ann");
            assert_large_echo(&mut client);
        }
    }
    Some(())
}

fn upgrade_headers_pass_in_both_directions(kind: &'static Kind) -> Option<()> {
    let gateway = start_gateway("");
    let proxy = start_proxy(kind, &gateway)?;
    // The gateway accepts this origin only if the proxy passes on `Host`.
    let origin = format!("Origin: https://{}|Host: {}", proxy.addr, proxy.addr);
    let protocol = format!("Sec-WebSocket-Protocol: aisopod.v1, bearer.{}", token("ann"));
    let mut peer = proxy.open_tls()?;
    // `write_line` appends the last line feed.
    peer.write_line(handshake_request(GET_WS, "Host", &format!("{origin}|{protocol}")).trim_end_matches('\n'));
    let lines = std::iter::repeat_with(|| peer.read_line().trim_end().to_owned());
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    assert!(head[0].starts_with("HTTP/1.1 101 "), "{head:#?}");
    let has = |start: &str| head.iter().any(|line| line.to_lowercase().starts_with(start));
    for header in
        ["sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=", "sec-websocket-protocol: aisopod.v1", "x-conn-id: "]
    {
        assert!(has(header), "{header}: {head:#?}");
    }
    Some(())
}

fn refusals_pass_with_their_bodies_on_one_connection(kind: &'static Kind) -> Option<()> {
    let gateway = start_gateway("");
    let proxy = start_proxy(kind, &gateway)?;
    let (ws, status) = (format!("https://{}/ws", proxy.addr), format!("https://{}/status", proxy.addr));
    let bearer = format!("Authorization: {}", gateway.bearer("bob"));
    let upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let handshake = [&bearer, key].into_iter().chain(upgrade).flat_map(|header| ["-H", header]).collect::<Vec<_>>();
    // Each body, which is a line, is followed by the status and how many connections were opened for it.
    let shown = ["-w", "%{http_code} %{num_connects}\n"];
    for (headers, status, code) in [(&[][..], 426, "upgrade_required"), (&handshake, 401, "unauthorized")] {
        let mut curl = proxy.curl(&[headers, &shown, &[&ws, &ws]].concat())?;
        for connections in [1, 0] {
            assert_eq!(curl.read_json()["error"]["code"], code);
            assert_eq!(curl.read_line(), format!("{status} {connections}"));
        }
        assert!(curl.wait().success(), "{:#?}", curl.stderr());
    }
    // The admin API isn't passed on.
    let curl = proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}\n", &status])?;
    assert_eq!(curl.read_line(), kind.other_path);
    Some(())
}

fn clients_have_their_own_addresses(kind: &'static Kind) -> Option<()> {
    let gateway = start_gateway("[proxy]\ntrusted = [\"127.0.0.1\", \"unix\"]");
    for upstream in [Upstream::Tcp, Upstream::Unix] {
        let proxy = Proxy::start(kind, &gateway, upstream, "90s")?;
        let url = format!("https://{}/ws", proxy.addr);
        // A client can't choose its address.
        let spoofed = ["-H", "X-Forwarded-For: 192.0.2.1", "-H", "Forwarded: for=192.0.2.2"];
        let address = ["--interface", "127.0.0.2", "-w", "%{http_code}\n", "-o", "/dev/null", &url];
        let curl = proxy.curl(&[&spoofed[..], &address].concat())?;
        assert_eq!(curl.read_line(), "426");
    }
    let refused = |line: &String| line.contains("handshake refused remote_addr=127.0.0.2 status=426");
    wait_until("the client's address", || gateway.log().iter().filter(|line| refused(line)).count() == 2);
    Some(())
}

fn pings_within_the_idle_timeout_keep_a_client(kind: &'static Kind) -> Option<()> {
    // Long enough for a client on a busy machine.
    let gateway = start_gateway("[heartbeat]\ninterval = \"2s\"\ntimeout = \"2s\"");
    let proxy = Proxy::start(kind, &gateway, Upstream::Tcp, "5s")?;
    let mut client = open(&proxy, &Package::WS)?;
    // More than two idle timeouts.
    gateway.wait_for_status("6 pongs", |status| status["heartbeat"]["pongs_received"].as_u64() >= Some(6));
    assert_eq!(call(&mut client, "gateway.ping"), "pong");
    Some(())
}

fn client_without_pings_is_disconnected_and_forgotten(kind: &'static Kind) -> Option<()> {
    let gateway = start_gateway("");
    let proxy = Proxy::start(kind, &gateway, Upstream::Tcp, "2s")?;
    let mut client = open(&proxy, &Package::WEBSOCKETS)?;
    client.write_line("wait");
    assert_closed(&mut client, 1006, "");
    let status = gateway.wait_for_clients(0);
    assert_eq!(status["closed_total"]["abnormal"], 1, "{status:#}");
    Some(())
}

fn requests_before_the_close_frame_are_answered(kind: &'static Kind) -> Option<()> {
    let gateway = start_gateway("");
    let proxy = start_proxy(kind, &gateway)?;
    assert_eq!(call_and_close(&mut open(&proxy, &Package::WS)?, 200), 200);
    gateway.wait_for_status("a normal close", |status| status["closed_total"]["normal"] == 1);
    Some(())
}

fn reload_keeps_clients_and_accepts_new_ones(kind: &'static Kind) -> Option<()> {
    let gateway = start_gateway("");
    let proxy = start_proxy(kind, &gateway)?;
    let mut old = open(&proxy, &Package::WS)?;
    proxy.reload();
    let mut new = open(&proxy, &Package::WS)?;
    let conn_ids = [&mut old, &mut new].map(|client| call(client, "gateway.whoami")["conn_id"].clone());
    assert_ne!(conn_ids[0], conn_ids[1]);
    assert_eq!(gateway.status()["handshakes"]["completed"], 2);
    assert_eq!(gateway.status()["clients"]["total_connections"], 2);
    Some(())
}

fn stop_of_the_gateway_closes_clients_with_1012(kind: &'static Kind) -> Option<()> {
    let gateway = start_gateway("[limits]\nclose_timeout = \"20s\"");
    let proxy = start_proxy(kind, &gateway)?;
    let mut client = open(&proxy, &Package::WEBSOCKETS)?;
    client.write_line("wait");
    gateway.wait_for_clients(1);
    let (status, log) = gateway.0.stop();
    assert!(status.success(), "{log:#?}");
    assert_closed(&mut client, 1012, "draining");
    assert!(log.last().is_some_and(|line| line.contains(" stopped closed=1 ")), "{log:#?}");
    Some(())
}

test_each! {
    {
        clients_connect_with_tls_and_call_methods
        clients_have_their_own_addresses
        upgrade_headers_pass_in_both_directions
        refusals_pass_with_their_bodies_on_one_connection
        pings_within_the_idle_timeout_keep_a_client
        client_without_pings_is_disconnected_and_forgotten
        requests_before_the_close_frame_are_answered
        reload_keeps_clients_and_accepts_new_ones
        stop_of_the_gateway_closes_clients_with_1012
    }
    nginx: NGINX,
    haproxy: HAPROXY,
}

test_each! {
    {
        clients_connect_with_tls_and_call_methods
        clients_have_their_own_addresses
        upgrade_headers_pass_in_both_directions
        refusals_pass_with_their_bodies_on_one_connection
        requests_before_the_close_frame_are_answered
        stop_of_the_gateway_closes_clients_with_1012
    }
    caddy: CADDY,
}
