//! The operators' HTTP.

use crate::common::fleet::Fleet;
use crate::common::{Gateway, wait_until};
use crate::raw::{Answer, Connection, ask};
use serde_json::{Value, json};
use std::io::BufReader;
use std::net::TcpStream;
use std::thread;

pub const WHO: &[(&str, &str, &str)] = &[
    ("alice", "operator", "*"),
    ("bob", "operator", "clients:read"),
    ("kitchen-pi", "node", ""),
    ("hall-pi", "node", ""),
];

/// A request's text.
pub fn request(line: &str, authorization: Option<&str>, more: &str, body: &str) -> String {
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let length = body.len();
    format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}{more}Content-Length: {length}\r\n\r\n{body}")
}

impl Fleet {
    pub fn http(&self, name: &str, line: &str, body: &str) -> (u16, Value) {
        let answer = ask(&self.gateway, request(line, Some(&self.bearer(name)), "", body));
        answer.check(line);
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}")))
    }

    /// A request that is refused: its status and its error's code.
    pub fn refused(&self, name: &str, line: &str, body: &str) -> (u16, String) {
        let (status, answer) = self.http(name, line, body);
        (status, answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{line}: {answer}")).to_owned())
    }
}

#[test]
fn it_is_the_methods_by_other_names() {
    let fleet = Fleet::start(WHO, "");
    let (mut alice, mut node) = (fleet.connect("alice"), fleet.connect("kitchen-pi"));
    alice.call("gateway.subscribe", json!({"topics": ["a/b", "presence"]}));
    node.call("node.announce", json!({"capabilities": [{"service": "light", "methods": ["set"]}]}));
    let id = node.conn_id.clone();

    let (status, list) = fleet.http("bob", "GET /clients?role=node&limit=5&sort=newest", "");
    assert_eq!((status, &list["clients"][0]["conn_id"], &list["next_cursor"]), (200, &json!(id), &Value::Null));
    let (_, page) = fleet.http("bob", "GET /clients?limit=1", "");
    let cursor = page["next_cursor"].as_str().unwrap().replace(':', "%3A");
    let (_, rest) = fleet.http("bob", &format!("GET /clients?limit=1&cursor={cursor}"), "");
    assert_eq!(rest["clients"][0]["conn_id"], id.as_str());
    let (_, one) = fleet.http("bob", &format!("GET /clients/{id}"), "");
    assert_eq!((&one["presence_key"], &one["subscriptions"]), (&json!("node:kitchen-pi"), &json!([])));
    let (_, nodes) = fleet.http("bob", "GET /nodes", "");
    assert_eq!(nodes["nodes"][0]["capabilities"][0]["service"], "light");

    let (status, queued) = fleet.http("alice", "POST /topics/a/b/messages", r#"{"data":{"x":1.50}}"#);
    assert_eq!((status, queued), (200, json!({"queued": 1})));
    assert_eq!(alice.next()["params"]["data"]["x"], 1.5);
    let line = format!("POST /clients/{id}/messages");
    assert_eq!(fleet.http("alice", &line, r#"{"method":"note","params":[1]}"#), (200, json!({"queued": 1})));
    assert_eq!(node.next(), json!({"jsonrpc": "2.0", "method": "note", "params": [1]}));

    let called = thread::scope(|scope| {
        let line = "POST /nodes/node%3Akitchen-pi/invoke";
        let caller = scope.spawn(|| fleet.http("alice", line, r#"{"method":"set","params":{"on":true},"timeout":30}"#));
        let request = node.next();
        assert_eq!((&request["method"], &request["params"]), (&json!("set"), &json!({"on": true})));
        node.respond(&request, json!({"on": true}));
        caller.join().unwrap()
    });
    assert_eq!(called, (200, json!({"on": true})));

    let hit =
        |disconnected: u32, dry_run: bool| json!({"matched": 1, "disconnected": disconnected, "dry_run": dry_run});
    assert_eq!(fleet.http("alice", "DELETE /clients?role=node", "").1, hit(0, true));
    assert_eq!(fleet.http("alice", "DELETE /clients?role=node&confirm=true&reason=by+hand", "").1, hit(1, false));
    assert_eq!(node.client.closed(), (4000, "kicked: by hand".to_owned()));
    let (line, alice_id) = ("DELETE /clients/", alice.conn_id.clone());
    assert_eq!(fleet.http("alice", &format!("{line}{alice_id}"), "").1, hit(1, false));
    assert_eq!(alice.client.closed(), (4000, "kicked".to_owned()));
    fleet.gateway.wait_for_clients(0);
    let (_, closed) = fleet.http("bob", "GET /clients/closed?reason=kicked&role=node", "");
    assert_eq!((&closed["closed"][0]["conn_id"], &closed["closed"][1]), (&json!(id), &Value::Null));
    let head = ask(&fleet.gateway, request("HEAD /clients", Some(&fleet.bearer("bob")), "", ""));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

pub const INVOKE: &str = "POST /nodes/node:kitchen-pi/invoke";

/// Who asks for what, and what must come of it.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &str, u16, &str)] = &[
    ("alice", "GET /nothing", "", 404, "not_found"),
    ("alice", "GET /clients/00000000-0000-4000-8000-000000000000", "", 404, "not_found"),
    ("alice", "POST /nodes/node:nobody/invoke", r#"{"method":"x"}"#, 404, "not_found"),
    ("alice", "GET /clients/x", "", 400, "invalid_params"),
    ("alice", "GET /clients?limit=0", "", 400, "invalid_params"),
    ("alice", "GET /clients?limit=many", "", 400, "invalid_params"),
    ("alice", "GET /clients?nothing=1", "", 400, "bad_request"),
    ("alice", "DELETE /clients?confirm=true", "", 400, "invalid_params"),
    ("alice", "PUT /clients", "", 405, "method_not_allowed"),
    ("alice", "GET /topics/x/messages", "", 405, "method_not_allowed"),
    ("alice", "POST /topics/x/messages", "", 400, "invalid_params"),
    ("alice", "POST /topics/x/messages", "1", 400, "bad_request"),
    ("alice", "POST /topics/x/messages", r#"{"data":}"#, 400, "bad_request"),
    ("alice", "POST /topics/x/messages", r#"{"data":1},"x":{}"#, 400, "bad_request"),
    ("alice", "POST /topics/x/messages", r#"{"data":1,"topic":"y"}"#, 400, "invalid_params"),
    ("alice", "POST /topics/presence/messages", r#"{"data":1}"#, 400, "invalid_params"),
    ("alice", INVOKE, r#"{"method":"x"}"#, 504, "timeout"),
    ("bob", INVOKE, r#"{"method":"x"}"#, 403, "forbidden"),
    ("bob", "DELETE /clients?role=node", "", 403, "forbidden"),
    ("kitchen-pi", "GET /clients", "", 403, "forbidden"),
    ("alice", "GET /clients?token=x", "", 400, "token_in_query"),
    ("alice", "DELETE /clients?role=x&confirm=true", r#"{"role":"node"}"#, 400, "bad_request"),
    ("alice", "DELETE /clients?role=node&confirm=false&confirm=true", "", 400, "bad_request"),
    ("alice", "DELETE /clients?role=node&role=x&confirm=true", "", 400, "invalid_params"),
];

#[test]
fn what_is_wrong_has_its_status_and_its_word() {
    let fleet = Fleet::start(WHO, "[calls]\ntimeout = \"10ms\"\n[limits]\nmax_message_bytes = 1000");
    let node = fleet.connect("kitchen-pi");
    let id = node.conn_id.clone();
    for (name, line, body, status, code) in WRONG {
        assert_eq!(fleet.refused(name, line, body), (*status, (*code).to_owned()), "{line} {body}");
    }
    let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(1000));
    let refused = ask(&fleet.gateway, request("POST /topics/x/messages", Some(&fleet.bearer("alice")), "", &large));
    assert_eq!((refused.status, refused.header("connection")), (413, Some("close")));
    assert_eq!(refused.code(), "body_too_large");
    let (_, error) = fleet.http("bob", &format!("DELETE /clients/{id}"), "");
    assert_eq!(error["error"]["data"], json!({"reason": "forbidden", "scope": "clients:write"}));
    assert_eq!(ask(&fleet.gateway, request("GET /clients", None, "", "")).code(), "unauthorized");
}

#[test]
fn a_nodes_own_error_and_its_end_are_told_apart() {
    let fleet = Fleet::start(WHO, "");
    let mut node = fleet.connect("kitchen-pi");
    let body = r#"{"method":"x","timeout":60}"#;
    for (end, status, code) in [(false, 502, "node_error"), (true, 502, "node_disconnected")] {
        thread::scope(|scope| {
            let caller = scope.spawn(|| fleet.http("alice", INVOKE, body));
            let request = node.next();
            if end {
                node.client.socket.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
            } else {
                let id = &request["id"];
                node.client.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":5,"message":"no"}}}}"#));
            }
            let (got, answer) = caller.join().unwrap();
            assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{answer}");
            assert!(end || answer["error"]["data"] == json!({"code": 5, "message": "no"}), "{answer}");
        });
    }
}

#[test]
fn an_address_that_fails_too_often_waits() {
    let fleet = Fleet::start(WHO, "[ops]\nmax_failures_per_minute = 3");
    let wrong = || ask(&fleet.gateway, request("GET /clients", Some("Bearer wrong"), "", ""));
    for _ in 0..3 {
        assert_eq!(wrong().code(), "unauthorized");
    }
    let refused = wrong();
    assert_eq!((refused.status, refused.code()), (429, "too_many_failures".to_owned()));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=21).contains(&wait), "{wait}");
    assert_eq!(fleet.refused("alice", "GET /clients", ""), (429, "too_many_failures".to_owned()));
    fleet
        .gateway
        .wait_for_line("says so", |line| line.contains("refused after too many failures remote_addr=127.0.0.1"));
    let counts = &fleet.gateway.status()["operators"];
    assert_eq!(counts, &json!({"requests": 5, "unauthorized": 3, "too_many_failures": 2}));
    // Clients and monitoring don't notice.
    let _alice = fleet.connect("alice");
    assert_eq!(ask(&fleet.gateway, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
}

#[test]
fn who_shows_nothing_shuts_out_nobody() {
    let fleet = Fleet::start(WHO, "[ops]\nmax_failures_per_minute = 1");
    for _ in 0..5 {
        assert_eq!(ask(&fleet.gateway, request("GET /clients", None, "", "")).code(), "unauthorized");
    }
    assert_eq!(fleet.http("alice", "GET /clients", "").0, 200);
}

#[test]
fn operators_may_have_an_address_of_their_own() {
    let fleet = Fleet::start(WHO, "[ops]\nlisten = \"127.0.0.1:0\"");
    let line = fleet.gateway.wait_for_line("tells where", |line| line.contains("listening for=operators addr="));
    let addr = line.rsplit("addr=").next().unwrap();
    let own = |text: String| -> Answer {
        let mut connection = Connection { reader: BufReader::new(TcpStream::connect(addr).unwrap()) };
        connection.send(text);
        connection.receive(true)
    };
    let bearer = fleet.bearer("alice");
    let get = |path: &str| request(&format!("GET {path}"), Some(&bearer), "", "");
    for path in ["/clients", "/status"] {
        assert_eq!((own(get(path)).status, ask(&fleet.gateway, get(path)).status), (200, 404), "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!((own(get(path)).status, ask(&fleet.gateway, get(path)).status), (200, 200), "{path}");
    }
    assert_eq!(own(get("/ws")).status, 404);
    let _alice = fleet.connect("alice");
}

#[test]
fn a_web_page_of_elsewhere_can_do_nothing() {
    let gateway = Gateway::start("");
    let as_page = |host: &str, origin: &str| {
        let origin = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
        let text = request("POST /topics/x/messages", None, &origin, r#"{"data":1}"#);
        ask(&gateway, text.replace("Host: 127.0.0.1\r\n", &format!("Host: {host}\r\n")))
    };
    let own = format!("127.0.0.1:{}", gateway.addr().port());
    for (host, origin, status, code) in [
        (own.as_str(), "", 200, ""),
        ("localhost", "", 200, ""),
        (&own, &format!("http://{own}"), 200, ""),
        (&own, "https://elsewhere.example", 403, "origin_not_allowed"),
        (&own, "null", 403, "origin_not_allowed"),
        // A name that was made to point here.
        ("elsewhere.example", "", 403, "host_not_allowed"),
        ("elsewhere.example", "http://elsewhere.example", 403, "origin_not_allowed"),
    ] {
        let answer = as_page(host, origin);
        assert_eq!(answer.status, status, "{host} {origin}: {answer:?}");
        assert!(code.is_empty() || answer.code() == code, "{answer:?}");
    }
}

#[test]
fn calls_over_http_are_bounded_for_each_credential() {
    let fleet = Fleet::start(WHO, "[calls]\nmax_per_caller = 2");
    let mut node = fleet.connect("kitchen-pi");
    thread::scope(|scope| {
        let callers = [0, 1].map(|_| scope.spawn(|| fleet.http("alice", INVOKE, r#"{"method":"x"}"#)));
        let requests = [node.next(), node.next()];
        assert_eq!(fleet.refused("alice", INVOKE, r#"{"method":"x"}"#), (429, "caller_busy".to_owned()));
        requests.iter().for_each(|request| node.respond(request, json!(1)));
        assert!(callers.into_iter().all(|caller| caller.join().unwrap() == (200, json!(1))));
    });
    wait_until("there is room again", || {
        thread::scope(|scope| {
            let caller = scope.spawn(|| fleet.http("alice", INVOKE, r#"{"method":"x"}"#));
            let request = node.next();
            node.respond(&request, json!(2));
            caller.join().unwrap() == (200, json!(2))
        })
    });
}
