//! What a call fails with: the only list of it.

use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write;

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $reason:literal;)*) => {
        /// What is wrong, with the code of it (JSON-RPC 2.0, section 5.1) and `data.reason`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorKind {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorKind {
            /// Every kind.
            #[cfg(test)]
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$variant),*];

            /// Its code.
            pub const fn code(self) -> i32 {
                match self { $(ErrorKind::$variant => $code),* }
            }

            /// The word for it.
            pub const fn reason(self) -> &'static str {
                match self { $(ErrorKind::$variant => $reason),* }
            }
        }
    };
}

error_kinds! {
    /// Not JSON.
    ParseError = -32700, "parse_error";
    /// JSON, but no request.
    InvalidRequest = -32600, "invalid_request";
    /// More requests in a batch than are allowed.
    BatchTooLarge = -32600, "batch_too_large";
    /// No such method.
    MethodNotFound = -32601, "method_not_found";
    /// Params that the method doesn't take.
    InvalidParams = -32602, "invalid_params";
    /// The gateway's fault.
    InternalError = -32603, "internal_error";
    /// The caller lacks a scope, or has the wrong role.
    Forbidden = -32003, "forbidden";
    /// No such client or node.
    NotFound = -32004, "not_found";
    /// The caller has as many calls under way as it may.
    CallerBusy = -32005, "caller_busy";
    /// The node has.
    NodeBusy = -32005, "node_busy";
    /// What waits for the node is as much as its outbox holds.
    NodeOutboxFull = -32005, "node_outbox_full";
    /// More topics than a client may subscribe to.
    TooManySubscriptions = -32005, "too_many_subscriptions";
    /// The node didn't answer in time.
    Timeout = -32006, "timeout";
    /// The node went away before it answered.
    NodeDisconnected = -32007, "node_disconnected";
    /// The gateway is shutting down.
    Draining = -32008, "draining";
    /// What the node answered is neither a result nor an error.
    InvalidAnswer = -32009, "invalid_answer";
    /// The answer, or those to a batch together, are larger than the half of an outbox.
    AnswerTooLarge = -32010, "answer_too_large";
}

/// Bytes of what somebody sent that are shown in an error.
const SHOWN: usize = 200;

/// Begins what is said of params.
const INVALID_PARAMS: &str = "Invalid params: ";

/// An error answer.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// What is wrong,
    pub kind: ErrorKind,
    /// in words.
    pub message: Cow<'static, str>,
    /// What programs want to know beside the kind's reason.
    detail: Option<(&'static str, Value)>,
}

impl RpcError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        RpcError { kind, message: message.into(), detail: None }
    }

    /// The same with one more member in `data`.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.detail = Some((name, value.into()));
        self
    }

    /// What is wrong with a member of the params.
    pub fn invalid_member(member: &str, what: &str) -> Self {
        // What somebody made up may be as long as a message.
        let [member, what] = [member, what].map(|text| &text[..text.floor_char_boundary(SHOWN)]);
        Self::new(ErrorKind::InvalidParams, format!("{INVALID_PARAMS}{member}: {what}")).with("member", member)
    }

    /// An answer that would fill the outbox of whoever asks.
    pub fn answer_too_large(most: usize) -> Self {
        Self::new(ErrorKind::AnswerTooLarge, "the answer is too large: ask for less at once").with("most", most)
    }

    /// The message without the words that all about params begin with.
    pub fn what(&self) -> &str {
        self.message.strip_prefix(INVALID_PARAMS).unwrap_or(&self.message)
    }

    /// The gateway is going.
    pub fn draining() -> Self {
        Self::new(ErrorKind::Draining, "the gateway is shutting down")
    }

    /// No connection has this ID.
    pub fn no_client() -> Self {
        Self::new(ErrorKind::NotFound, "no such client")
    }

    /// What `data` holds; `null` for those that the specification prints without.
    pub fn data(&self) -> Value {
        use ErrorKind::{InvalidRequest, MethodNotFound, ParseError};
        if matches!(self.kind, ParseError | InvalidRequest | MethodNotFound) {
            return Value::Null;
        }
        let reason = ("reason", self.kind.reason().into());
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_a_row_for_each() {
        let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rpc/README.md"));
        for kind in ErrorKind::ALL {
            let row = format!("| {} | `{}` |", kind.code(), kind.reason());
            assert!(readme.contains(&row), "src/rpc/README.md lacks {row}");
        }
    }

    #[test]
    fn ours_carry_their_reason() {
        let error = RpcError::new(ErrorKind::Forbidden, "no").with("scope", "clients:read");
        let json = r#"{"code":-32003,"message":"no","data":{"reason":"forbidden","scope":"clients:read"}}"#;
        assert_eq!(error.to_json(), json);
        let error = RpcError::new(ErrorKind::ParseError, "Parse error");
        assert_eq!(error.to_json(), r#"{"code":-32700,"message":"Parse error"}"#);
    }
}
