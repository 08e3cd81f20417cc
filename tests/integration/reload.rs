//! Reload by SIGHUP: what changes while clients stay connected, what needs a restart, and a file that changes nothing.

use crate::common::http::{GET_WS, fetch, handshake_request};
use crate::common::test_gateway::{TestGateway, digest, token, with_credentials};
use crate::common::tools::{require, require_root};
use crate::common::{Gateway, wait_until};
use serde_json::json;
use std::io::Write;
use std::process::Command;

const ALICE: (&str, &str, &str) = ("alice", "operator", "clients:read");
const PI: (&str, &str, &str) = ("pi", "node", "");

#[test]
fn clients_stay_and_have_their_new_scopes_with_the_next_message() {
    let gateway = TestGateway::start(&[ALICE, PI], "");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("pi"));
    let message = json!({"role": "node", "method": "news"});
    assert_eq!(alice.call_error("clients.send", message.clone())["data"]["scope"], "clients:write");
    let line = gateway.reload(&[("alice", "operator", "clients:write"), PI], "");
    assert!(line.contains("reloaded changed=auth.credentials revoked=0"), "{line}");
    assert_eq!(alice.call("clients.send", message)["queued"], 1);
    assert_eq!(node.next_message()["method"], "news");
    assert_eq!(alice.call_error("clients.list", json!({}))["data"]["scope"], "clients:read");
    assert_eq!(alice.call("gateway.whoami", json!({}))["scopes"], json!(["clients:write"]));
    assert_eq!(node.call("gateway.ping", json!({})), "pong");
    // Once more: the identity is still shared after a second reload.
    gateway.reload(&[ALICE, PI], "");
    assert_eq!(alice.call("clients.list", json!({}))["clients"].as_array().unwrap().len(), 2);
    assert_eq!(gateway.http("alice", "GET /clients", "").0, 200);
}

#[test]
fn subscriptions_that_the_new_scopes_forbid_end() {
    let with_scopes = |scopes| [("alice", "operator", scopes), ("bob", "operator", "*")];
    let gateway = TestGateway::start(&with_scopes("clients:read events:read"), "");
    let (mut alice, mut bob) = (gateway.connect("alice"), gateway.connect("bob"));
    let own = "operator:alice/mail";
    alice.call("gateway.subscribe", json!({"topics": ["presence", "site.a", "site.b", own]}));
    gateway.reload(&with_scopes("events:read:site.b"), "");
    let remaining = alice.call("gateway.unsubscribe", json!({"topics": ["other"]}));
    assert_eq!(remaining["topics"], json!([own, "site.b"]));
    for topic in ["site.a", "site.b", own] {
        let queued = bob.call("gateway.publish", json!({"topic": topic, "data": 1}))["queued"].take();
        assert_eq!(queued, u64::from(topic != "site.a"), "{topic}");
    }
    // What is granted again can be subscribed to again.
    gateway.reload(&with_scopes("events:read"), "");
    alice.call("gateway.subscribe", json!({"topics": ["site.a"]}));
    assert_eq!(bob.call("gateway.publish", json!({"topic": "site.a", "data": 1}))["queued"], 1);
}

#[test]
fn client_whose_credential_is_gone_is_closed_and_others_stay() {
    let gateway = TestGateway::start(&[ALICE, PI, ("eve", "node", "")], "");
    let (mut alice, mut node, mut eve) = (gateway.connect("alice"), gateway.connect("pi"), gateway.connect("eve"));
    let line = gateway.reload(&[ALICE, PI, ("new", "operator", "")], "");
    assert!(line.contains("reloaded changed=auth.credentials revoked=1"), "{line}");
    assert_eq!(eve.client.wait_for_close(), (4002, "credential_revoked".to_owned()));
    assert!(gateway.try_connect("eve").is_err());
    assert_eq!(alice.call("gateway.ping", json!({})), "pong");
    assert_eq!(node.call("gateway.ping", json!({})), "pong");
    gateway.connect("new");
}

#[test]
fn credential_with_another_secret_role_or_mode_is_another_credential() {
    let gateway = TestGateway::start(&[ALICE, PI], "");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("pi"));
    let other_token = with_credentials(&[ALICE, PI], "").replace(&digest(&token("alice")), &digest("other"));
    assert!(gateway.0.reload(&other_token).contains(" revoked=1"));
    assert_eq!(alice.client.wait_for_close().0, 4002);
    gateway.reload(&[("pi", "operator", "")], "");
    assert_eq!(node.client.wait_for_close().0, 4002);
    let mut pi = gateway.connect("pi");
    let line = gateway.0.reload("");
    assert!(line.contains(" changed=auth.mode,auth.credentials revoked=1"), "{line}");
    assert_eq!(pi.client.wait_for_close().0, 4002);
    let mut anonymous = gateway.0.connect();
    gateway.0.reload("log_level = \"debug\"");
    assert_eq!(anonymous.call("gateway.ping")["result"], "pong");
}

#[test]
fn credential_that_has_expired_closes_its_clients() {
    let gateway = TestGateway::start(&[ALICE], "");
    let mut alice = gateway.connect("alice");
    let expired = with_credentials(&[ALICE], "") + "not_after = 2020-01-01T00:00:00Z\n";
    assert!(gateway.0.reload(&expired).contains(" revoked=1"));
    assert_eq!(alice.client.wait_for_close().0, 4002);
}

#[test]
fn credential_that_expires_soon_closes_its_clients_in_time() {
    // The heartbeat visits a client once in an hour.
    let gateway = TestGateway::start(&[ALICE], "");
    let mut alice = gateway.connect("alice");
    let soon = Command::new("date").args(["-u", "-d", "+2 seconds", "+%FT%TZ"]).output().unwrap().stdout;
    let soon = format!("{}not_after = {}", with_credentials(&[ALICE], ""), String::from_utf8(soon).unwrap());
    gateway.0.reload(&soon);
    assert_eq!(alice.client.wait_for_close().0, 4002);
    assert!(gateway.try_connect("alice").is_err());
}

#[test]
fn limits_apply_to_connected_clients() {
    let everything = [("alice", "operator", "*")];
    let gateway = TestGateway::start(&everything, "");
    let (mut alice, _others) = (gateway.connect("alice"), [gateway.connect("alice"), gateway.connect("alice")]);
    alice.call("gateway.subscribe", json!({"topics": ["a", "b", "c"]}));
    let limits = "[limits]\nmax_message_bytes = 250\nmax_batch_requests = 1\nmax_subscriptions = 2\n\
                  outbox_max_bytes = 1024\nclosed_connections = 0\nmax_memory_for_clients = 2097152\n[calls]\nmax_per_caller = 1\n";
    let line = gateway.reload(&everything, limits);
    let changed = "max_message_bytes max_batch_requests max_subscriptions closed_connections outbox_max_bytes \
                   max_memory_for_clients";
    let changed: Vec<_> = changed.split(' ').map(|limit| format!("limits.{limit}")).collect();
    assert!(line.contains(&format!(" changed={},calls.max_per_caller ", changed.join(","))), "{line}");
    assert_eq!(gateway.status()["memory"]["max_bytes"], 2_097_152);
    assert_eq!(alice.call_error("gateway.subscribe", json!({"topics": ["d"]}))["data"]["most"], 2);
    let error = alice.call_error("clients.list", json!({}));
    assert_eq!(error["data"]["most"], 512, "the largest response is half of an outbox");
    alice.client.send("[{},{}]");
    assert!(alice.client.receive().contains("batch_too_large"));
    alice.client.send(&"x".repeat(251));
    assert_eq!(alice.client.wait_for_close().0, 1009);
}

#[test]
fn rates_apply_to_connected_clients() {
    let gateway = Gateway::start("");
    let mut client = gateway.connect();
    assert_eq!(client.call("gateway.ping")["result"], "pong");
    let rates = "max_messages_per_second = 1\nrate_burst = \"10ms\"\nrate_timeout = \"10ms\"";
    gateway.reload(&format!("[limits]\n{rates}"));
    for _ in 0..5 {
        client.send("{}");
    }
    assert_eq!(client.wait_for_close(), (4102, "rate_limited".to_owned()));
    gateway.reload("");
    let mut client = gateway.connect();
    for _ in 0..100 {
        assert_eq!(client.call("gateway.ping")["result"], "pong");
    }
}

#[test]
fn limit_on_connections_can_be_lowered_below_those_that_are_open() {
    let gateway = Gateway::start("");
    let mut clients: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    gateway.reload("[limits]\nmax_connections = 2");
    assert_eq!(gateway.status()["max_connections"], 2);
    assert!(gateway.connect_as("").is_err());
    for client in &mut clients {
        assert_eq!(client.call("gateway.ping")["result"], "pong");
    }
    clients.drain(..2);
    gateway.wait_for_clients(1);
    // A connection that was refused holds its slot until it has ended.
    wait_until("a free slot", || gateway.connect_as("").map(|(client, _)| clients.push(client)).is_ok());
    assert!(gateway.connect_as("").is_err());
    gateway.reload("[limits]\nmax_connections = 3");
    clients.push(gateway.connect());
}

#[test]
fn origins_proxies_and_policies_apply_to_new_clients() {
    let settings = "[presence]\noperator = \"reject\"\n[handshake]\nallowed_origins = [\"https://app.example.com\"]\n\
                    [proxy]\ntrusted = [\"127.0.0.1\"]\n[per_address]\nmax_connections = 1\n";
    let headers = "Origin: https://app.example.com|X-Forwarded-For: 192.0.2.1";
    let connect = |gateway: &Gateway| fetch(gateway, handshake_request(GET_WS, "", headers)).status;
    let gateway = Gateway::start("[auth]\nallow_insecure = true");
    let mut before = gateway.connect();
    assert_eq!(connect(&gateway), 403);
    let line = gateway.reload(&format!("{settings}[auth]\nallow_insecure = true"));
    let changed = "handshake.allowed_origins,proxy.trusted,per_address.max_connections,presence.operator";
    assert!(line.contains(&format!(" changed={changed} ")), "{line}");
    assert_eq!(connect(&gateway), 409, "the presence key is in use");
    assert_eq!(before.call("gateway.ping")["result"], "pong");
    before.close();
    gateway.wait_for_clients(0);
    let mut stream = gateway.tcp();
    stream.write_all(handshake_request(GET_WS, "", headers).as_bytes()).unwrap();
    gateway.wait_for_clients(1);
    assert_eq!(connect(&gateway), 429, "the address has its one connection");
}

#[test]
fn change_that_needs_a_restart_is_named_and_keeps_its_old_value() {
    let gateway = Gateway::start("");
    let mut client = gateway.connect();
    let settings = "listen = \"127.0.0.1:1\"\nlisten_reuse_port = true\nlog_level = \"debug\"\n[heartbeat]\n\
                    interval = \"50s\"\ntimeout = \"5s\"\n[ops]\nlisten = \"127.0.0.1:2\"\n";
    let line = gateway.reload(settings);
    assert!(line.contains(" reloaded changed=log_level "), "{line}");
    let named = "listen,listen_reuse_port,heartbeat.interval,heartbeat.timeout,ops.listen";
    gateway.wait_for_line("the settings", |line| {
        line.starts_with("WARN ") && line.ends_with(&format!(" changed settings need a restart settings={named}"))
    });
    assert_eq!(gateway.status()["heartbeat"]["interval_seconds"], 3600.0);
    assert_eq!(client.call("gateway.ping")["result"], "pong");
    gateway.connect();
}

#[test]
fn invalid_file_changes_nothing_and_is_reported_with_its_lines() {
    let gateway = TestGateway::start(&[ALICE], "");
    let mut alice = gateway.connect("alice");
    for (settings, problems) in [
        (
            "log_level = \"loud\"\n[limits]\nmax_subscriptions = 0",
            &["2: log_level = \"loud\"; ", "4: limits.max_subs"][..],
        ),
        ("[limits", &["2: unclosed table"]),
    ] {
        let line = gateway.reload(&[], settings);
        assert!(
            line.starts_with("ERROR ") && line.contains(" reload failed, nothing has changed problem=\""),
            "{line}"
        );
        for problem in problems {
            gateway.wait_for_line(problem, |line| line.contains(&format!("config.toml:{problem}")));
        }
        assert_eq!(alice.call("clients.list", json!({}))["clients"].as_array().unwrap().len(), 1);
    }
    std::fs::remove_file(gateway.dir().join("config.toml")).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_line("the missing file", |line| line.contains(" reload failed") && line.contains("No such file"));
    assert_eq!(alice.call("gateway.ping", json!({})), "pong");
    assert!(gateway.reload(&[ALICE], "").contains(" reloaded changed=none revoked=0"));
}

/// The defaults need no credentials, so they must not replace a default file that has disappeared.
#[test]
fn default_file_that_has_disappeared_is_an_error() {
    let (Some(unshare), Some(())) = (require("unshare"), require_root("replacing /etc in a mount namespace")) else {
        return;
    };
    let script = "mount -t tmpfs tmpfs /etc && mkdir /etc/aisopod-gateway && cd /etc/aisopod-gateway
        echo 'listen = \"127.0.0.1:0\"' > config.toml
        \"$0\" 2> log & gateway=$!
        until grep -q listening log; do sleep 0.05; done
        rm config.toml; kill -HUP $gateway
        until grep -q reload log; do sleep 0.05; done
        kill $gateway; wait $gateway; cat log";
    let mut command = Command::new("timeout");
    command.arg("60").arg(unshare).args(["-m", "sh", "-c", script]).arg(Gateway::binary());
    let output = command.output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    let problem = "reload failed, nothing has changed problem=\"/etc/aisopod-gateway/config.toml: No such file";
    assert!(log.contains(problem), "{log}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn credentials_stay_required_while_other_machines_can_reach_an_address() {
    let listen = "listen = [\"127.0.0.1:0\", \"0.0.0.0:0\"]";
    let gateway = TestGateway::start(&[ALICE], listen);
    let mut alice = gateway.connect("alice");
    // The new file would be valid: it listens on a loopback address. The gateway still listens on the old ones.
    let line = gateway.0.reload("listen = \"127.0.0.1:0\"");
    assert!(line.contains("reload failed") && line.contains("can be reached from other machines"), "{line}");
    assert!(gateway.0.connect_as("").is_err());
    assert_eq!(alice.call("gateway.ping", json!({})), "pong");
}

#[test]
fn log_level_changes_and_a_flag_stays_in_effect() {
    let gateway = Gateway::start("log_level = \"info\"");
    gateway.reload("log_level = \"debug\"");
    drop(gateway.tcp());
    gateway.wait_for_line("a line of level debug", |line| line.starts_with("DEBUG "));
    let mut command = Command::new(Gateway::binary());
    command.args(["--log-level", "info"]);
    let gateway = Gateway::start_with(command, "");
    assert!(gateway.reload("log_level = \"off\"").contains(" reloaded changed=none "));
}
