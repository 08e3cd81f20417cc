//! A gateway with named credentials, and clients that speak JSON-RPC.

use super::http::{bearer, fetch, request};
use super::{Client, Gateway};
use aisopod_gateway::auth::SecretDigest;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::ops::Deref;

/// A gateway with a token for each of several client names.
pub struct TestGateway(pub Gateway);

impl TestGateway {
    /// Starts a gateway with credentials: name, role and scopes, which are separated by spaces.
    pub fn start(credentials: &[(&str, &str, &str)], settings: &str) -> TestGateway {
        TestGateway(Gateway::start(&with_credentials(credentials, settings)))
    }

    /// Replaces the configuration and requests a reload. Returns the log line with the result.
    pub fn reload(&self, credentials: &[(&str, &str, &str)], settings: &str) -> String {
        self.0.reload(&with_credentials(credentials, settings))
    }

    /// The value of the `Authorization` header for a name.
    pub fn bearer(&self, name: &str) -> String {
        bearer(&token(name))
    }

    pub fn try_connect(&self, name: &str) -> tungstenite::Result<RpcClient> {
        let (client, response) = self.connect_as(&token(name))?;
        let conn_id = response.headers()["x-conn-id"].to_str().unwrap().to_owned();
        Ok(RpcClient { client, conn_id, last_id: 0, responses: HashMap::new(), others: VecDeque::new() })
    }

    /// Connects a client and waits until it is registered, which is shortly after its 101.
    pub fn connect(&self, name: &str) -> RpcClient {
        let mut client = self.try_connect(name).unwrap_or_else(|error| panic!("{name} can't connect: {error}"));
        client.call("gateway.ping", json!({}));
        client
    }

    /// Sends an HTTP request with a name's token. Returns status and body.
    pub fn http(&self, name: &str, line: &str, body: &str) -> (u16, Value) {
        let response = fetch(self, request(line, Some(&self.bearer(name)), "", body));
        response.assert_json(line);
        (response.status, serde_json::from_str(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}")))
    }

    /// The same for a request that fails: status and error code.
    pub fn http_error(&self, name: &str, line: &str, body: &str) -> (u16, String) {
        let (status, body) = self.http(name, line, body);
        (status, body["error"]["code"].as_str().unwrap_or_else(|| panic!("{line}: {body}")).to_owned())
    }

    /// Waits until no node call is in flight. Returns the counters of calls.
    pub fn wait_for_calls(&self) -> Value {
        self.wait_for_status("no call in flight", |status| status["calls"]["in_flight"] == 0)["calls"].take()
    }
}

impl Deref for TestGateway {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.0
    }
}

/// Settings with a token for each name.
pub fn with_credentials(credentials: &[(&str, &str, &str)], settings: &str) -> String {
    let mut file = format!("{settings}\n[auth]\nmode = \"token\"\n");
    for (name, role, scopes) in credentials {
        let scopes: Vec<_> = scopes.split_ascii_whitespace().collect();
        let _ = writeln!(file, "[[auth.credentials]]\nname = \"{name}\"\nrole = \"{role}\"\nscopes = {scopes:?}");
        let _ = writeln!(file, "token_sha256 = \"{}\"", digest(&token(name)));
    }
    file
}

pub fn token(name: &str) -> String {
    format!("token-of-{name}")
}

/// The SHA-256 of a secret in hex, as in the configuration.
pub fn digest(secret: &str) -> String {
    SecretDigest::of(secret.as_bytes()).to_hex()
}

/// A client that matches responses to its requests.
pub struct RpcClient {
    pub client: Client,
    pub conn_id: String,
    last_id: u64,
    /// Responses that were received while another one was awaited.
    responses: HashMap<u64, Value>,
    /// Notifications and requests that were received while a response was awaited.
    others: VecDeque<Value>,
}

impl RpcClient {
    /// Sends a request and returns its ID.
    pub fn request(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params});
        self.client.send(&request.to_string());
        self.last_id
    }

    /// Waits for the response to a request; it has `result` or `error`.
    pub fn response(&mut self, id: u64) -> Value {
        loop {
            if let Some(response) = self.responses.remove(&id) {
                return response;
            }
            self.read();
        }
    }

    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        let mut response = self.response(id);
        assert!(response.get("error").is_none(), "{method}: {response}");
        response["result"].take()
    }

    /// Calls a method that fails and returns its error.
    pub fn call_error(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        let mut response = self.response(id);
        assert!(response.get("result").is_none(), "{method}: {response}");
        response["error"].take()
    }

    /// Calls `light.set` of `node:kitchen-pi`, unless `params` override this, and returns the request's ID.
    pub fn invoke(&mut self, params: Value) -> u64 {
        let mut call = json!({"target": "node:kitchen-pi", "method": "light.set"});
        call.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
        self.request("node.invoke", call)
    }

    /// Waits for the response to a request and checks its error's code and `data.reason`. Returns the error.
    pub fn assert_error(&mut self, id: u64, code: i64, reason: &str) -> Value {
        let mut response = self.response(id);
        assert_eq!(error_reason(&response), (code, reason));
        response["error"].take()
    }

    /// The next notification or request of the gateway.
    pub fn next_message(&mut self) -> Value {
        while self.others.is_empty() {
            self.read();
        }
        self.others.pop_front().expect("a message")
    }

    /// The notifications and requests that precede the response to a ping, which is sent now.
    pub fn pending_messages(&mut self) -> Vec<Value> {
        self.call("gateway.ping", json!({}));
        self.others.drain(..).collect()
    }

    pub fn respond(&mut self, request: &Value, result: Value) {
        self.client.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string());
    }

    /// Waits for a request and responds to it with a result.
    pub fn respond_next(&mut self, result: Value) {
        let request = self.next_message();
        self.respond(&request, result);
    }

    fn read(&mut self) {
        let text = self.client.receive();
        let message: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        match message["id"].as_u64().filter(|_| message.get("method").is_none()) {
            Some(id) => assert!(self.responses.insert(id, message).is_none(), "two responses to {id}"),
            None => self.others.push_back(message),
        }
    }
}

/// A JSON-RPC error's code and `data.reason`.
pub fn error_reason(response: &Value) -> (i64, &str) {
    let error = &response["error"];
    let reason = error["data"]["reason"].as_str().unwrap_or_else(|| panic!("no error with a reason: {response}"));
    (error["code"].as_i64().unwrap(), reason)
}
