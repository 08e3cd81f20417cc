//! The admin API: operators' HTTP requests for clients, topics and nodes.

use crate::common::Gateway;
use crate::common::http::{HttpConnection, Response, fetch, request};
use crate::common::test_gateway::TestGateway;
use serde_json::{Value, json};
use std::io::BufReader;
use std::net::TcpStream;
use std::thread;

const CREDENTIALS: &[(&str, &str, &str)] = &[
    ("alice", "operator", "*"),
    ("bob", "operator", "clients:read"),
    ("kitchen-pi", "node", ""),
    ("hall-pi", "node", ""),
];

#[test]
fn routes_do_the_same_as_the_methods() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let (mut alice, mut node) = (gateway.connect("alice"), gateway.connect("kitchen-pi"));
    alice.call("gateway.subscribe", json!({"topics": ["a/b", "presence"]}));
    node.call("node.announce", json!({"capabilities": [{"service": "light", "methods": ["set"]}]}));
    let id = node.conn_id.clone();

    let (status, list) = gateway.http("bob", "GET /clients?role=node&limit=5&sort=newest", "");
    assert_eq!((status, &list["clients"][0]["conn_id"], &list["next_cursor"]), (200, &json!(id), &Value::Null));
    let (_, page) = gateway.http("bob", "GET /clients?limit=1", "");
    let cursor = page["next_cursor"].as_str().unwrap().replace(':', "%3A");
    let (_, rest) = gateway.http("bob", &format!("GET /clients?limit=1&cursor={cursor}"), "");
    assert_eq!(rest["clients"][0]["conn_id"], id.as_str());
    let (_, one) = gateway.http("bob", &format!("GET /clients/{id}"), "");
    assert_eq!((&one["presence_key"], &one["subscriptions"]), (&json!("node:kitchen-pi"), &json!([])));
    let (_, nodes) = gateway.http("bob", "GET /nodes", "");
    assert_eq!(nodes["nodes"][0]["capabilities"][0]["service"], "light");

    let (status, queued) = gateway.http("alice", "POST /topics/a/b/messages", r#"{"data":{"x":1.50}}"#);
    assert_eq!((status, queued), (200, json!({"queued": 1})));
    assert_eq!(alice.next_message()["params"]["data"]["x"], 1.5);
    let line = format!("POST /clients/{id}/messages");
    assert_eq!(gateway.http("alice", &line, r#"{"method":"note","params":[1]}"#), (200, json!({"queued": 1})));
    assert_eq!(node.next_message(), json!({"jsonrpc": "2.0", "method": "note", "params": [1]}));

    let called = thread::scope(|scope| {
        let line = "POST /nodes/node%3Akitchen-pi/invoke";
        let caller =
            scope.spawn(|| gateway.http("alice", line, r#"{"method":"set","params":{"on":true},"timeout":30}"#));
        let request = node.next_message();
        assert_eq!((&request["method"], &request["params"]), (&json!("set"), &json!({"on": true})));
        node.respond(&request, json!({"on": true}));
        caller.join().unwrap()
    });
    assert_eq!(called, (200, json!({"on": true})));

    let result =
        |disconnected: u32, dry_run: bool| json!({"matched": 1, "disconnected": disconnected, "dry_run": dry_run});
    assert_eq!(gateway.http("alice", "DELETE /clients?role=node", "").1, result(0, true));
    assert_eq!(gateway.http("alice", "DELETE /clients?role=node&confirm=true&reason=by+hand", "").1, result(1, false));
    assert_eq!(node.client.wait_for_close(), (4000, "kicked: by hand".to_owned()));
    let (line, alice_id) = ("DELETE /clients/", alice.conn_id.clone());
    assert_eq!(gateway.http("alice", &format!("{line}{alice_id}"), "").1, result(1, false));
    assert_eq!(alice.client.wait_for_close(), (4000, "kicked".to_owned()));
    gateway.wait_for_clients(0);
    let (_, closed) = gateway.http("bob", "GET /clients/closed?reason=kicked&role=node", "");
    assert_eq!((&closed["closed"][0]["conn_id"], &closed["closed"][1]), (&json!(id), &Value::Null));
    let head = fetch(&gateway, request("HEAD /clients", Some(&gateway.bearer("bob")), "", ""));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

const INVOKE: &str = "POST /nodes/node:kitchen-pi/invoke";

/// The credential, a request line, a body, and the status and error code of the response.
#[rustfmt::skip]
const INVALID: &[(&str, &str, &str, u16, &str)] = &[
    ("alice", "GET /nothing", "", 404, "not_found"),
    ("alice", "GET /clients/00000000-0000-4000-8000-000000000000", "", 404, "not_found"),
    ("alice", "POST /nodes/node:none/invoke", r#"{"method":"x"}"#, 404, "not_found"),
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
fn invalid_request_has_a_status_and_an_error_code() {
    let gateway = TestGateway::start(CREDENTIALS, "[calls]\ntimeout = \"10ms\"\n[limits]\nmax_message_bytes = 1000");
    let node = gateway.connect("kitchen-pi");
    let id = node.conn_id.clone();
    for (name, line, body, status, code) in INVALID {
        assert_eq!(gateway.http_error(name, line, body), (*status, (*code).to_owned()), "{line} {body}");
    }
    let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(1000));
    let refused = fetch(&gateway, request("POST /topics/x/messages", Some(&gateway.bearer("alice")), "", &large));
    assert_eq!((refused.status, refused.header("connection")), (413, Some("close")));
    assert_eq!(refused.error_code(), "body_too_large");
    let (_, error) = gateway.http("bob", &format!("DELETE /clients/{id}"), "");
    assert_eq!(error["error"]["data"], json!({"reason": "forbidden", "scope": "clients:write"}));
    assert_eq!(fetch(&gateway, request("GET /clients", None, "", "")).error_code(), "unauthorized");
}

#[test]
fn node_error_and_node_disconnect_have_different_codes() {
    let gateway = TestGateway::start(CREDENTIALS, "");
    let mut node = gateway.connect("kitchen-pi");
    let body = r#"{"method":"x","timeout":60}"#;
    for (disconnect, status, code) in [(false, 502, "node_error"), (true, 502, "node_disconnected")] {
        thread::scope(|scope| {
            let caller = scope.spawn(|| gateway.http("alice", INVOKE, body));
            let request = node.next_message();
            if disconnect {
                node.client.socket.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
            } else {
                let id = &request["id"];
                node.client.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":5,"message":"no"}}}}"#));
            }
            let (got, response) = caller.join().unwrap();
            assert_eq!((got, &response["error"]["code"]), (status, &json!(code)), "{response}");
            assert!(disconnect || response["error"]["data"] == json!({"code": 5, "message": "no"}), "{response}");
        });
    }
}

#[test]
fn failed_authentications_are_counted_and_limited() {
    let gateway = TestGateway::start(CREDENTIALS, "[per_address]\nmax_failures_per_minute = 3");
    // Requests without credentials don't count.
    for _ in 0..5 {
        assert_eq!(fetch(&gateway, request("GET /clients", None, "", "")).error_code(), "unauthorized");
    }
    let wrong = || fetch(&gateway, request("GET /clients", Some("Bearer wrong"), "", ""));
    for _ in 0..3 {
        assert_eq!(wrong().error_code(), "unauthorized");
    }
    let refused = wrong();
    assert_eq!((refused.status, refused.error_code()), (429, "too_many_failures".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(gateway.http("alice", "GET /clients", "").0, 200);
    gateway.wait_for_line("the address", |line| line.contains("locked out remote_addr=127.0.0.1"));
    let counts = &gateway.status()["admin"];
    assert_eq!(counts, &json!({"requests": 10, "unauthorized": 8, "too_many_failures": 1}));
    // A request without a credential is answered during the lockout too.
    assert_eq!(fetch(&gateway, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
}

#[test]
fn ops_listen_serves_status_and_admin_api_on_its_address_only() {
    let gateway = TestGateway::start(CREDENTIALS, "[ops]\nlisten = \"127.0.0.1:0\"");
    let line = gateway.wait_for_line("the address", |line| line.contains("listening role=admin addr="));
    let addr = line.rsplit("addr=").next().unwrap();
    let fetch_own = |text: String| -> Response {
        let mut connection = HttpConnection { reader: BufReader::new(TcpStream::connect(addr).unwrap()) };
        connection.send(text);
        connection.receive(true)
    };
    let bearer = gateway.bearer("alice");
    let get = |path: &str| request(&format!("GET {path}"), Some(&bearer), "", "");
    for path in ["/clients", "/status"] {
        assert_eq!((fetch_own(get(path)).status, fetch(&gateway, get(path)).status), (200, 404), "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!((fetch_own(get(path)).status, fetch(&gateway, get(path)).status), (200, 200), "{path}");
    }
    assert_eq!(fetch_own(get("/ws")).status, 404);
    let _alice = gateway.connect("alice");
}

#[test]
fn page_of_another_origin_is_rejected() {
    let gateway = Gateway::start("");
    let as_page = |host: &str, origin: &str| {
        let origin = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
        let text = request("POST /topics/x/messages", None, &origin, r#"{"data":1}"#);
        fetch(&gateway, text.replace("Host: 127.0.0.1\r\n", &format!("Host: {host}\r\n")))
    };
    let own = format!("127.0.0.1:{}", gateway.addr().port());
    for (host, origin, status, code) in [
        (own.as_str(), "", 200, ""),
        ("localhost", "", 200, ""),
        (&own, &format!("http://{own}"), 200, ""),
        (&own, "https://other.example", 403, "origin_not_allowed"),
        (&own, "null", 403, "origin_not_allowed"),
        // DNS rebinding.
        ("other.example", "", 403, "host_not_allowed"),
        ("other.example", "http://other.example", 403, "origin_not_allowed"),
    ] {
        let response = as_page(host, origin);
        assert_eq!(response.status, status, "{host} {origin}: {response:?}");
        assert!(code.is_empty() || response.error_code() == code, "{response:?}");
    }
}

/// CORS, for the pages in `allowed_origins`. Errors are readable too.
#[test]
fn page_of_a_listed_origin_may_use_the_admin_api() {
    let settings = "[handshake]\nallowed_origins = [\"https://app.example\"]\n";
    let gateway = TestGateway::start(CREDENTIALS, settings);
    let bearer = gateway.bearer("alice");
    for (origin, is_listed) in [("https://app.example", true), ("https://other.example", false)] {
        let allowed = is_listed.then_some(origin);
        for (line, methods) in [
            ("OPTIONS /clients?role=node", "GET, HEAD, DELETE"),
            ("OPTIONS /topics/x/messages", "POST"),
            ("OPTIONS /status", "GET, HEAD"),
        ] {
            let headers = format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n");
            let response = fetch(&gateway, request(line, None, &headers, ""));
            assert_eq!(response.status, if is_listed { 204 } else { 403 }, "{response:?}");
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{response:?}");
            assert_eq!(response.header("access-control-allow-origin"), allowed, "{response:?}");
            assert_eq!(response.header("access-control-allow-methods"), allowed.map(|_| methods), "{response:?}");
        }
        let headers = format!("Origin: {origin}\r\n");
        for (path, authorization, status) in [
            ("/clients", Some(&*bearer), if is_listed { 200 } else { 403 }),
            ("/clients", None, if is_listed { 401 } else { 403 }),
            ("/status", None, 200),
            ("/nowhere", None, 404),
        ] {
            let response = fetch(&gateway, request(&format!("GET {path}"), authorization, &headers, ""));
            assert_eq!(response.status, status, "{path}: {response:?}");
            assert_eq!(response.header("access-control-allow-origin"), allowed, "{path}: {response:?}");
            assert_eq!(response.header("vary"), allowed.map(|_| "Origin"), "{path}: {response:?}");
        }
    }
    let plain = fetch(&gateway, request("OPTIONS /clients", None, "", ""));
    assert_eq!(plain.status, 405, "not a preflight request: {plain:?}");
}

#[test]
fn request_without_the_scope_is_refused_before_its_body_is_read() {
    let gateway = TestGateway::start(CREDENTIALS, "[handshake]\ntimeout = \"1h\"\n");
    let text = request(INVOKE, Some(&gateway.bearer("kitchen-pi")), "", "never sent");
    let response = fetch(&gateway, text.replace("never sent", ""));
    assert_eq!((response.status, response.error_code()), (403, "forbidden".to_owned()));
    assert_eq!(response.header("connection"), Some("close"));
}

#[test]
fn http_calls_are_limited_per_credential() {
    let gateway = TestGateway::start(CREDENTIALS, "[calls]\nmax_per_caller = 2");
    let mut node = gateway.connect("kitchen-pi");
    thread::scope(|scope| {
        let callers = [0, 1].map(|_| scope.spawn(|| gateway.http("alice", INVOKE, r#"{"method":"x"}"#)));
        let requests = [node.next_message(), node.next_message()];
        assert_eq!(gateway.http_error("alice", INVOKE, r#"{"method":"x"}"#), (429, "caller_busy".to_owned()));
        requests.iter().for_each(|request| node.respond(request, json!(1)));
        assert!(callers.into_iter().all(|caller| caller.join().unwrap() == (200, json!(1))));
    });
    gateway.wait_for_calls();
    thread::scope(|scope| {
        let caller = scope.spawn(|| gateway.http("alice", INVOKE, r#"{"method":"x"}"#));
        node.respond_next(json!(2));
        assert_eq!(caller.join().unwrap(), (200, json!(2)));
    });
}
