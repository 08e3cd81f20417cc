//! All errors that a call can fail with.

use super::response::error_response;
use crate::labels::labels;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write;

labels! {
    /// The kinds of error, each with its code (JSON-RPC 2.0, section 5.1). The label is `data.reason`.
    pub enum ErrorKind {
        /// Not JSON.
        ParseError = "parse_error" => -32700,
        /// JSON, but not a request.
        InvalidRequest = "invalid_request" => -32600,
        /// More requests in a batch than `limits.max_batch_requests`.
        BatchTooLarge = "batch_too_large" => -32600,
        /// No such method.
        MethodNotFound = "method_not_found" => -32601,
        /// Params that the method doesn't accept.
        InvalidParams = "invalid_params" => -32602,
        /// An error inside the gateway.
        InternalError = "internal_error" => -32603,
        /// The caller lacks a scope, has the wrong role, or calls a method over HTTP that needs a WebSocket.
        Forbidden = "forbidden" => -32003,
        /// No such client or node.
        NotFound = "not_found" => -32004,
        /// The caller has reached its limit of calls, or of batches, in flight.
        CallerBusy = "caller_busy" => -32005,
        /// The node has reached its limit of calls in flight.
        NodeBusy = "node_busy" => -32005,
        /// The node's outbox is full.
        NodeOutboxFull = "node_outbox_full" => -32005,
        /// More topics than `limits.max_subscriptions`.
        TooManySubscriptions = "too_many_subscriptions" => -32005,
        /// The node didn't answer in time.
        Timeout = "timeout" => -32006,
        /// The node disconnected before it answered.
        NodeDisconnected = "node_disconnected" => -32007,
        /// The gateway is shutting down.
        Draining = "draining" => -32008,
        /// The node's answer isn't a valid JSON-RPC response.
        InvalidAnswer = "invalid_answer" => -32009,
        /// The response is over the limit: half of an outbox. In a batch, all responses together may take three
        /// quarters of that, and this one no longer fits.
        AnswerTooLarge = "answer_too_large" => -32010,
    }
    /// The code.
    fn code -> i32;
}

/// The most bytes of a caller's text that an error repeats.
const MAX_ECHOED: usize = 200;

/// The prefix of every message about params.
const INVALID_PARAMS: &str = "Invalid params: ";

/// An error of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    pub kind: ErrorKind,
    /// The message for people.
    pub message: Cow<'static, str>,
    /// One more member of `data`, for programs.
    detail: Option<(&'static str, Value)>,
}

impl RpcError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        RpcError { kind, message: message.into(), detail: None }
    }

    /// The same error with one more member in `data`.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.detail = Some((name, value.into()));
        self
    }

    /// The message isn't JSON.
    pub fn parse_error() -> Self {
        Self::new(ErrorKind::ParseError, "Parse error")
    }

    /// The message is JSON, but not a request; `problem` says why.
    pub fn invalid_request(problem: &str) -> Self {
        Self::new(ErrorKind::InvalidRequest, format!("Invalid Request: {problem}"))
    }

    /// A member of the params is missing, unknown or invalid, as `problem` says.
    pub fn invalid_member(member: &str, problem: &str) -> Self {
        // Both may contain the caller's text, which may be as long as a message.
        let [member, problem] = [member, problem].map(|text| &text[..text.floor_char_boundary(MAX_ECHOED)]);
        Self::new(ErrorKind::InvalidParams, format!("{INVALID_PARAMS}{member}: {problem}")).with("member", member)
    }

    /// A member of the params has a type or value that isn't allowed; `expected` describes the allowed values.
    pub fn unexpected_member(member: &str, expected: &str) -> Self {
        Self::invalid_member(member, &format!("must be {expected}"))
    }

    /// The response is over the limit of `max_bytes`.
    pub fn answer_too_large(max_bytes: usize) -> Self {
        Self::new(ErrorKind::AnswerTooLarge, "the response is too large; request less").with("most", max_bytes)
    }

    /// An error inside the gateway.
    pub fn internal_error() -> Self {
        Self::new(ErrorKind::InternalError, "Internal error")
    }

    /// The gateway is shutting down.
    pub fn draining() -> Self {
        Self::new(ErrorKind::Draining, "the gateway is shutting down")
    }

    /// No client has this connection ID.
    pub fn no_client() -> Self {
        Self::new(ErrorKind::NotFound, "no such client")
    }

    /// The message without the prefix of messages about params.
    pub fn problem(&self) -> &str {
        self.message.strip_prefix(INVALID_PARAMS).unwrap_or(&self.message)
    }

    /// The member `data`; `null` for the errors that have none in the specification's examples.
    pub fn data(&self) -> Value {
        use ErrorKind::{InvalidRequest, MethodNotFound, ParseError};
        if matches!(self.kind, ParseError | InvalidRequest | MethodNotFound) {
            return Value::Null;
        }
        let reason = ("reason", self.kind.label().into());
        let members = [Some(reason), self.detail.clone()].into_iter().flatten();
        members.map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
    }

    /// The error object as JSON.
    pub fn to_json(&self) -> String {
        let mut json = format!(r#"{{"code":{},"message":{}"#, self.kind.code(), Value::from(&*self.message));
        match self.data() {
            Value::Null => json.push('}'),
            data => _ = write!(json, r#","data":{data}}}"#),
        }
        json
    }

    /// The response to the request with this ID.
    pub fn to_response(&self, id: &str) -> String {
        error_response(id, &self.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_has_a_row_for_each_error_kind() {
        let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rpc/README.md"));
        for kind in ErrorKind::ALL {
            let row = format!("| {} | `{}` |", kind.code(), kind.label());
            assert!(readme.contains(&row), "README.md lacks {row}");
        }
    }

    #[test]
    fn error_data_has_reason_except_where_the_specification_has_none() {
        let error = RpcError::new(ErrorKind::Forbidden, "no").with("scope", "clients:read");
        let json = r#"{"code":-32003,"message":"no","data":{"reason":"forbidden","scope":"clients:read"}}"#;
        assert_eq!(error.to_json(), json);
        let error = RpcError::new(ErrorKind::ParseError, "Parse error");
        assert_eq!(error.to_json(), r#"{"code":-32700,"message":"Parse error"}"#);
    }
}
