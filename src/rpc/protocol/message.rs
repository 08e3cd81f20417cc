//! The JSON-RPC 2.0 envelope (<https://www.jsonrpc.org/specification>): requests parsed without copying, ids and
//! params kept byte for byte.

use super::error::{ErrorKind, RpcError};
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A value as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is shown has string keys only")
}

/// The answer with a method's result, which is JSON.
pub(crate) fn success_response(id: &str, result: &str) -> String {
    join(r#"{"jsonrpc":"2.0","result":"#, result, id)
}

/// The answer with an error object, which is JSON.
pub(crate) fn error_response(id: &str, error: &str) -> String {
    join(r#"{"jsonrpc":"2.0","error":"#, error, id)
}

fn join(start: &str, member: &str, id: &str) -> String {
    let mut answer = String::with_capacity(36 + id.len() + member.len());
    for part in [start, member, r#","id":"#, id, "}"] {
        answer.push_str(part);
    }
    answer
}

/// A request of the gateway's own.
pub(crate) fn request(id: u64, method: &str, params: Option<&str>) -> String {
    let mut request = format!(r#"{{"jsonrpc":"2.0","id":{id},"#);
    push_method(&mut request, method, params);
    request
}

/// A notification. `method` is JSON, with its quotes.
pub(crate) fn notification(method: &str, params: Option<&str>) -> String {
    let mut notification = String::from(r#"{"jsonrpc":"2.0","#);
    push_method(&mut notification, method, params);
    notification
}

fn push_method(text: &mut String, method: &str, params: Option<&str>) {
    text.reserve(24 + method.len() + params.map_or(0, str::len));
    for part in [r#""method":"#, method] {
        text.push_str(part);
    }
    for part in params.into_iter().flat_map(|params| [r#","params":"#, params]) {
        text.push_str(part);
    }
    text.push('}');
}

/// What one message holds.
pub(crate) enum Message<'a> {
    /// One request.
    Single(Request<'a>),
    /// Several, each to be parsed by itself: one that is no request spoils no other.
    Batch(Vec<&'a RawValue>),
}

/// A request's members as they came.
#[derive(Deserialize)]
pub(crate) struct Request<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    /// Absent in a notification; `null` is an id like another.
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) params: Option<&'a RawValue>,
    /// A response's.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A string that is borrowed unless it has escapes.
#[derive(Deserialize)]
pub(crate) struct CowStr<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// What came of a request to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response<'a> {
    Result(&'a str),
    Error(&'a str),
    /// Both of them, or an error that is none.
    Invalid,
    /// Neither of them: if nobody waits for it, it is a request without a method.
    Neither,
}

/// What an error object must have (section 5.1).
#[derive(Deserialize)]
#[expect(dead_code, reason = "read to be checked")]
struct ErrorObject<'a> {
    code: i64,
    #[serde(borrow)]
    message: CowStr<'a>,
}

/// What is there is there, even if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Request<'a> {
    /// If this is a response, which is never answered: the ID that it is for, if it can be one of ours, and what it says.
    pub(crate) fn as_response(&self) -> Option<(Option<u64>, Response<'a>)> {
        let response = match (self.result, self.error) {
            _ if self.method.is_some() || self.id.is_none() && self.result.is_none() && self.error.is_none() => {
                return None;
            }
            (None, None) => Response::Neither,
            (Some(result), None) => Response::Result(result.get()),
            (None, Some(error)) if is_error(error) => Response::Error(error.get()),
            _ => Response::Invalid,
        };
        let is_valid = self.jsonrpc.map(RawValue::get) == Some(VERSION);
        let response = if is_valid || response == Response::Neither { response } else { Response::Invalid };
        Some((self.id.and_then(|id| id.get().parse().ok()), response))
    }

    /// The method, if this is a request.
    pub(crate) fn validate(&self) -> Result<Cow<'a, str>, RpcError> {
        if self.jsonrpc.map(RawValue::get) != Some(VERSION) || self.id.is_some_and(|id| !is_id(id)) {
            return Err(invalid_request());
        }
        let method = self.method.map(|method| method.get()).unwrap_or_default();
        let CowStr(method) = serde_json::from_str(method).map_err(|_| invalid_request())?;
        match self.params.map(first_byte) {
            None | Some(b'{' | b'[') => Ok(method),
            Some(_) => Err(RpcError::new(ErrorKind::InvalidParams, "Invalid params: an object or an array")),
        }
    }

    /// The ID that an error answer has; one that can't be read is null.
    pub(crate) fn id_or_null(&self) -> &'a str {
        self.id.filter(|id| is_id(id)).map_or("null", RawValue::get)
    }
}

/// The version that every message names.
const VERSION: &str = r#""2.0""#;

fn is_error(error: &RawValue) -> bool {
    first_byte(error) == b'{' && serde_json::from_str::<ErrorObject<'_>>(error.get()).is_ok()
}

fn is_id(id: &RawValue) -> bool {
    matches!(first_byte(id), b'"' | b'n' | b'-' | b'0'..=b'9')
}

fn first_byte(value: &RawValue) -> u8 {
    value.get().as_bytes().first().copied().unwrap_or_default()
}

/// Reads one message.
pub(crate) fn parse(text: &str, max_batch_requests: usize) -> Result<Message<'_>, RpcError> {
    if !text.trim_ascii_start().starts_with('[') {
        return parse_request(text).map(Message::Single);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let requests = deserializer.deserialize_seq(BatchVisitor { max: max_batch_requests });
    match requests.and_then(|requests| deserializer.end().map(|()| requests)) {
        Err(_) => Err(not_json()),
        Ok(None) => Err(RpcError::new(ErrorKind::BatchTooLarge, "Invalid Request: a batch of too many requests")
            .with("most", max_batch_requests)),
        Ok(Some(requests)) if requests.is_empty() => Err(invalid_request()),
        Ok(Some(requests)) => Ok(Message::Batch(requests)),
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
pub(crate) fn parse_request(text: &str) -> Result<Request<'_>, RpcError> {
    // serde reads a struct from an array too.
    let object = text.trim_ascii_start().starts_with('{');
    match serde_json::from_str(text) {
        Ok(request) if object => Ok(request),
        _ if serde_json::from_str::<IgnoredAny>(text).is_err() => Err(not_json()),
        _ => Err(invalid_request()),
    }
}

fn not_json() -> RpcError {
    RpcError::new(ErrorKind::ParseError, "Parse error")
}

/// In the specification's words.
fn invalid_request() -> RpcError {
    RpcError::new(ErrorKind::InvalidRequest, "Invalid Request")
}
