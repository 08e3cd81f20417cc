//! A JSON-RPC request read and answered: by the gateway's envelope, and by a tree of values.

#[allow(dead_code)]
#[path = "../../../src/rpc/envelope.rs"]
mod envelope;
#[allow(dead_code)]
#[path = "../../../src/rpc/error.rs"]
mod error;

use envelope::Incoming;
use serde_json::{Value, json};

/// A request that shows who asks, and nothing more.
pub const SHORT: &str = r#"{"jsonrpc":"2.0","id":1,"method":"gateway.whoami"}"#;

/// A request with about a kilobyte of params.
pub fn long() -> String {
    let readings: Vec<Value> = (0..20).map(|n| json!({ "sensor": format!("kitchen-{n}"), "celsius": 21.5 })).collect();
    json!({ "jsonrpc": "2.0", "id": "a1b2", "method": "gateway.echo", "params": readings }).to_string()
}

/// The gateway's: the params come back as they came.
///
/// # Panics
/// When the text is no single request.
pub fn by_envelope(text: &str) -> String {
    let Ok(Incoming::Single(request)) = envelope::parse(text, 100) else { panic!("no request: {text}") };
    let method = request.check().unwrap_or_else(|error| panic!("{error:?}: {text}"));
    let result = request.params.map_or("null", |params| params.get());
    assert!(method.starts_with("gateway."));
    envelope::answer(request.id.expect("an id").get(), result)
}

/// The same by way of [`Value`].
///
/// # Panics
/// When the text is no single request.
pub fn by_values(text: &str) -> String {
    let mut request: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(request["jsonrpc"], "2.0");
    assert!(request["method"].as_str().expect("a method").starts_with("gateway."));
    let (id, result) = (request["id"].take(), request["params"].take());
    json!({ "jsonrpc": "2.0", "result": result, "id": id }).to_string()
}
