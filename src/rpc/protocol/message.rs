//! JSON-RPC 2.0 messages (<https://www.jsonrpc.org/specification>), parsed without copying. IDs and params are kept
//! byte for byte.

use super::array::{ArrayError, parse_array};
use super::error::{ErrorKind, RpcError};
use super::portable;
use super::response::NULL_ID;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A request from the gateway to a node. `method` is a JSON string with its quotes.
pub fn request(id: u64, method: &str, params: Option<&str>) -> String {
    let mut request = format!(r#"{{"jsonrpc":"2.0","id":{id},"#);
    push_method(&mut request, method, params);
    request
}

/// A notification. `method` is a JSON string with its quotes.
pub fn notification(method: &str, params: Option<&str>) -> String {
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

/// The members of a received message: a request, a notification or a response.
#[derive(Deserialize)]
pub struct Request<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    /// Absent in a notification; `null` is an ID like any other.
    #[serde(borrow, default, deserialize_with = "present")]
    pub id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub params: Option<&'a RawValue>,
    /// In responses only, as is `error`.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A string that is borrowed unless it has escapes.
#[derive(Deserialize)]
pub struct CowStr<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A client's response to a request of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    Result(&'a str),
    Error(&'a str),
    /// Both members, an error that isn't an error object, a `jsonrpc` that isn't "2.0", or content that
    /// [can't be passed on](portable::check).
    Invalid,
    /// Neither member. Unless a call has this ID, the message is a request without a method.
    Neither,
}

/// The members that an error object must have (section 5.1).
#[derive(Deserialize)]
#[expect(dead_code, reason = "deserialized to be validated")]
struct ErrorObject<'a> {
    code: i64,
    #[serde(borrow)]
    message: CowStr<'a>,
}

/// Deserializes a present member to `Some`, even if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Request<'a> {
    /// Reads the message as a response; `None` if it isn't one. The returned ID is `None` if the message has no ID, or
    /// one that no request of the gateway can have.
    pub fn as_response(&self) -> Option<(Option<u64>, Response<'a>)> {
        let has_neither = self.result.is_none() && self.error.is_none();
        if self.method.is_some() || self.id.is_none() && has_neither {
            return None;
        }
        let present = |member: Option<&'a RawValue>| member.filter(|member| member.get() != NULL);
        let response = match (self.result, present(self.error)) {
            (None, None) if has_neither => Response::Neither,
            _ if !self.has_version() => Response::Invalid,
            (Some(result), None) if portable::check(result.get()).is_ok() => Response::Result(result.get()),
            // Many libraries write the member that isn't used as null.
            (result, Some(error)) if present(result).is_none() && is_error(error) => Response::Error(error.get()),
            _ => Response::Invalid,
        };
        Some((self.id.and_then(gateway_id), response))
    }

    fn has_version(&self) -> bool {
        self.jsonrpc.is_some_and(|version| {
            let escaped = || serde_json::from_str::<CowStr<'_>>(version.get()).is_ok_and(|CowStr(text)| text == "2.0");
            version.get() == VERSION || escaped()
        })
    }

    /// The method's name, if this is a valid request.
    pub fn validate(&self) -> Result<Cow<'a, str>, RpcError> {
        if !self.has_version() {
            return Err(RpcError::invalid_request(r#""jsonrpc" must be "2.0""#));
        }
        if self.id.is_some_and(|id| !is_id(id)) {
            return Err(RpcError::invalid_request(r#""id" must be a string, a number or null"#));
        }
        let Some(method) = self.method else { return Err(RpcError::invalid_request(r#""method" is missing"#)) };
        let method = serde_json::from_str(method.get());
        let CowStr(method) = method.map_err(|_| RpcError::invalid_request(r#""method" must be a string"#))?;
        match self.params.map(first_byte) {
            None | Some(b'{' | b'[') => Ok(method),
            Some(_) => Err(RpcError::new(ErrorKind::InvalidParams, "Invalid params: expected an object or an array")),
        }
    }

    /// The ID for an error response: the request's, or `null` if that is invalid.
    pub fn id_or_null(&self) -> &'a str {
        self.id.filter(|id| is_id(id)).map_or(NULL_ID, RawValue::get)
    }
}

/// The member `jsonrpc` of every message, unless it has escapes.
const VERSION: &str = r#""2.0""#;

const NULL: &str = "null";

/// Whether this is an error object that can be passed on.
fn is_error(error: &RawValue) -> bool {
    first_byte(error) == b'{'
        && serde_json::from_str::<ErrorObject<'_>>(error.get()).is_ok()
        && portable::check(error.get()).is_ok()
}

/// The ID of a request of the gateway, as a client returns it. Some libraries make another number of the same value of
/// it, such as `43.0`, or a string.
fn gateway_id(id: &RawValue) -> Option<u64> {
    /// From here on, different IDs would be the same as floating-point numbers.
    const MAX_EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    let as_float = || id.get().parse::<f64>().ok().filter(|id| id.fract() == 0.0 && (0.0..MAX_EXACT).contains(id));
    match first_byte(id) {
        b'"' => serde_json::from_str::<CowStr<'_>>(id.get()).ok()?.0.parse().ok(),
        _ => id.get().parse().ok().or_else(|| as_float().map(|id| id as u64)),
    }
}

fn is_id(id: &RawValue) -> bool {
    matches!(first_byte(id), b'"' | b'n' | b'-' | b'0'..=b'9')
}

fn first_byte(value: &RawValue) -> u8 {
    value.get().as_bytes().first().copied().unwrap_or_default()
}

/// Whether a message begins like a batch.
pub fn is_batch(text: &str) -> bool {
    text.trim_ascii_start().starts_with('[')
}

/// Splits a batch into its elements. Each is parsed separately, so that an invalid one doesn't affect the others. Of a
/// batch with more than `max_requests`, the others aren't read.
pub fn parse_batch(text: &str, max_requests: usize) -> Result<Vec<&RawValue>, RpcError> {
    match parse_array(text, max_requests) {
        Err(ArrayError::TooLong) => {
            let message = format!("Invalid Request: a batch has at most {max_requests} requests");
            Err(RpcError::new(ErrorKind::BatchTooLarge, message).with("most", max_requests))
        }
        Err(ArrayError::Invalid) => Err(RpcError::parse_error()),
        Ok(requests) if requests.is_empty() => Err(RpcError::invalid_request("the batch is empty")),
        Ok(requests) => Ok(requests),
    }
}

/// Parses a request.
pub fn parse_request(text: &str) -> Result<Request<'_>, RpcError> {
    // serde would read a struct from an array too.
    let is_object = text.trim_ascii_start().starts_with('{');
    match serde_json::from_str(text) {
        Ok(request) if is_object => Ok(request),
        _ if serde_json::from_str::<IgnoredAny>(text).is_err() => Err(RpcError::parse_error()),
        // A name with an unpaired surrogate is JSON, but no Rust string.
        _ if is_object => Err(RpcError::invalid_request("a member is duplicated, or its name isn't valid Unicode")),
        _ => Err(RpcError::invalid_request("expected an object")),
    }
}
