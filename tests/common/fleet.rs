//! A gateway that knows several names, and clients that speak JSON-RPC under them.

use super::{Client, Gateway};
use aisopod_gateway::auth::{SecretDigest, new_token};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use tungstenite::handshake::client::Response;

pub struct Fleet {
    pub gateway: Gateway,
    tokens: HashMap<String, String>,
}

impl Fleet {
    /// Starts a gateway that knows these names, each with its role and its scopes, which stand behind one another with
    /// spaces.
    pub fn start(who: &[(&str, &str, &str)], settings: &str) -> Fleet {
        let (mut file, mut tokens) = (format!("{settings}\n[auth]\nmode = \"token\"\n"), HashMap::new());
        for (name, role, scopes) in who {
            let token = new_token().expect("randomness");
            let digest = SecretDigest::of(token.as_bytes()).to_hex();
            let scopes: Vec<_> = scopes.split_ascii_whitespace().collect();
            let _ = writeln!(file, "[[auth.credentials]]\nname = \"{name}\"\nrole = \"{role}\"\nscopes = {scopes:?}");
            let _ = writeln!(file, "token_sha256 = \"{digest}\"");
            tokens.insert((*name).to_owned(), token);
        }
        Fleet { gateway: Gateway::start(&file), tokens }
    }

    /// The value of a name's `Authorization` header.
    pub fn bearer(&self, name: &str) -> String {
        format!("Bearer {}", self.tokens[name])
    }

    pub fn try_connect(&self, name: &str) -> tungstenite::Result<(Peer, Response)> {
        let (client, response) = self.gateway.connect_with(&[("Authorization", &self.bearer(name))])?;
        let conn_id = response.headers()["x-conn-id"].to_str().unwrap().to_owned();
        Ok((Peer { client, conn_id, last_id: 0, answers: HashMap::new(), others: VecDeque::new() }, response))
    }

    /// Connects under a name, and returns when others can find it: it is answered its 101 a moment before.
    pub fn connect(&self, name: &str) -> Peer {
        let (mut peer, _) = self.try_connect(name).unwrap_or_else(|error| panic!("{name} can't connect: {error}"));
        peer.call("gateway.ping", json!({}));
        peer
    }
}

/// A client.
pub struct Peer {
    pub client: Client,
    pub conn_id: String,
    last_id: u64,
    answers: HashMap<u64, Value>,
    /// Notifications and requests that came before an answer that was waited for.
    others: VecDeque<Value>,
}

impl Peer {
    /// Sends a request and returns its ID.
    pub fn ask(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params});
        self.client.send(&request.to_string());
        self.last_id
    }

    /// The answer to a request: `result` or `error` is in it.
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            self.read();
        }
    }

    /// Calls a method that answers with a result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        let mut answer = self.answer(id);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Calls a method that answers with an error.
    pub fn refused(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        let mut answer = self.answer(id);
        assert!(answer.get("result").is_none(), "{method}: {answer}");
        answer["error"].take()
    }

    /// The next notification, or request of the gateway's.
    pub fn next(&mut self) -> Value {
        while self.others.is_empty() {
            self.read();
        }
        self.others.pop_front().expect("there is one")
    }

    /// Those that have come before the answer to a ping, which is asked for now.
    pub fn all_so_far(&mut self) -> Vec<Value> {
        self.call("gateway.ping", json!({}));
        self.others.drain(..).collect()
    }

    /// Answers a request with a result.
    pub fn respond(&mut self, request: &Value, result: Value) {
        self.client.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string());
    }

    fn read(&mut self) {
        let text = self.client.receive();
        let message: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        match message["id"].as_u64().filter(|_| message.get("method").is_none()) {
            Some(id) => assert!(self.answers.insert(id, message).is_none(), "two answers to {id}"),
            None => self.others.push_back(message),
        }
    }
}
