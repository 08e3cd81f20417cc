//! JSON-RPC 2.0 responses (section 5), concatenated from JSON texts.

use serde::Serialize;

/// The ID of a response to a request whose ID can't be read.
pub const NULL_ID: &str = "null";

/// A value as JSON.
pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("every serialized type has string keys")
}

/// The response with a result. Both arguments are JSON.
pub fn success_response(id: &str, result: &str) -> String {
    join(r#"{"jsonrpc":"2.0","result":"#, result, id)
}

/// The response with an error object. Both arguments are JSON.
pub fn error_response(id: &str, error: &str) -> String {
    join(r#"{"jsonrpc":"2.0","error":"#, error, id)
}

fn join(start: &str, member: &str, id: &str) -> String {
    let mut response = String::with_capacity(36 + id.len() + member.len());
    for part in [start, member, r#","id":"#, id, "}"] {
        response.push_str(part);
    }
    response
}
