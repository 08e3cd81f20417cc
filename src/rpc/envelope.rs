//! The JSON-RPC 2.0 envelope (<https://www.jsonrpc.org/specification>): requests parsed without copying, ids and
//! params kept byte for byte.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::{self, Write};

/// The codes of section 5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// Not JSON.
    ParseError = -32700,
    /// JSON, but no request.
    InvalidRequest = -32600,
    /// No such method.
    MethodNotFound = -32601,
    /// Params that the method doesn't take.
    InvalidParams = -32602,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// Its code.
    pub code: ErrorCode,
    /// What is wrong, in words.
    pub message: Cow<'static, str>,
}

impl RpcError {
    pub(super) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        RpcError { code, message: message.into() }
    }

    /// The answer with this error; an id that couldn't be read is null.
    pub(super) fn answer(&self, id: Option<&RawValue>) -> String {
        let message = serde_json::Value::from(&*self.message);
        let mut answer = String::from(r#"{"jsonrpc":"2.0","error":{"code":"#);
        let id = id.filter(|id| is_id(id)).map_or("null", RawValue::get);
        let _ = write!(answer, r#"{},"message":{message}}},"id":{id}}}"#, self.code as i32);
        answer
    }
}

/// The answer with a method's result, which is JSON.
pub(super) fn answer(id: &RawValue, result: &str) -> String {
    let id = id.get();
    let mut answer = String::with_capacity(36 + id.len() + result.len());
    for part in [r#"{"jsonrpc":"2.0","result":"#, result, r#","id":"#, id, "}"] {
        answer.push_str(part);
    }
    answer
}

/// What one message holds.
pub(super) enum Incoming<'a> {
    /// One request.
    Single(Request<'a>),
    /// Several, each to be parsed by itself: one that is no request spoils no other.
    Batch(Vec<&'a RawValue>),
}

/// A request's members as they came.
#[derive(Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    /// Absent in a notification; `null` is an id like another.
    #[serde(borrow, default, deserialize_with = "even_null")]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    pub(super) params: Option<&'a RawValue>,
}

/// What is there is there, even if it is `null`.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Request<'a> {
    /// The method, if this is a request.
    pub(super) fn check(&self) -> Result<Cow<'a, str>, RpcError> {
        let invalid = |message: &'static str| RpcError::new(ErrorCode::InvalidRequest, message);
        if self.jsonrpc.map(RawValue::get) != Some(r#""2.0""#) {
            return Err(invalid(r#"Invalid Request: jsonrpc must be "2.0""#));
        }
        if self.id.is_some_and(|id| !is_id(id)) {
            return Err(invalid("Invalid Request: id must be a string, a number or null"));
        }
        let method = self.method.map(|method| method.get()).unwrap_or_default();
        let method = serde_json::from_str::<Text<'a>>(method);
        let method = method.map_err(|_| invalid("Invalid Request: method must be a string"))?.0;
        match self.params.map(first_byte) {
            None | Some(b'{' | b'[') => Ok(method),
            Some(_) => Err(RpcError::new(ErrorCode::InvalidParams, "Invalid params: an object or an array")),
        }
    }
}

/// A string that is borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn is_id(id: &RawValue) -> bool {
    matches!(first_byte(id), b'"' | b'n' | b'-' | b'0'..=b'9')
}

fn first_byte(value: &RawValue) -> u8 {
    value.get().as_bytes().first().copied().unwrap_or_default()
}

/// Reads one message.
pub(super) fn parse(text: &str, max_batch_requests: usize) -> Result<Incoming<'_>, RpcError> {
    let invalid = |message: String| Err(RpcError::new(ErrorCode::InvalidRequest, message));
    if !text.trim_ascii_start().starts_with('[') {
        return parse_request(text).map(Incoming::Single);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let requests = deserializer.deserialize_seq(BatchVisitor { max: max_batch_requests });
    match requests.and_then(|requests| deserializer.end().map(|()| requests)) {
        Err(_) => Err(not_json()),
        Ok(None) => invalid(format!("Invalid Request: a batch of more than {max_batch_requests}")),
        Ok(Some(requests)) if requests.is_empty() => invalid("Invalid Request: an empty batch".to_owned()),
        Ok(Some(requests)) => Ok(Incoming::Batch(requests)),
    }
}

/// Collects a batch's requests, or `None` when there are more than `max`: what is refused takes no memory.
struct BatchVisitor {
    max: usize,
}

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut requests = Vec::new();
        while let Some(request) = seq.next_element()? {
            if requests.len() == self.max {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            requests.push(request);
        }
        Ok(Some(requests))
    }
}

/// Reads one request.
pub(super) fn parse_request(text: &str) -> Result<Request<'_>, RpcError> {
    // serde reads a struct from an array too.
    let object = text.trim_ascii_start().starts_with('{');
    match serde_json::from_str(text) {
        Ok(request) if object => Ok(request),
        _ if serde_json::from_str::<IgnoredAny>(text).is_err() => Err(not_json()),
        _ => Err(RpcError::new(ErrorCode::InvalidRequest, "Invalid Request: not a request object")),
    }
}

fn not_json() -> RpcError {
    RpcError::new(ErrorCode::ParseError, "Parse error: not JSON")
}
