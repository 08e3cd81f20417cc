//! What a handshake's headers show of who is asking.

use super::answer::Refusal;
use super::headers::tokens;
use crate::auth::Presented;
use data_encoding::BASE64;
use hyper::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};

/// The subprotocol that is spoken; a browser names it beside its token.
pub(super) const PROTOCOL: &str = "aisopod.v1";

/// Before a token that comes as a subprotocol, because a browser can't set headers.
pub(super) const BEARER_PROTOCOL: &str = "bearer.";

/// A client's proof, taken out of the request. No `Debug`: it holds secrets.
pub(super) enum Proof {
    Nothing,
    Token(Vec<u8>),
    Password { name: String, password: Vec<u8> },
}

impl Proof {
    /// Reads `Authorization` (RFC 6750, RFC 7617) or the subprotocol `bearer.<token>`.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut bearers =
            tokens(headers, SEC_WEBSOCKET_PROTOCOL).filter_map(|token| token.strip_prefix(BEARER_PROTOCOL));
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let proof = match (authorizations.next(), bearers.next()) {
            (None, None) => Proof::Nothing,
            (Some(header), None) => Self::from_authorization(header.as_bytes())?,
            (None, Some(token)) => Proof::Token(token.into()),
            (Some(_), Some(_)) => return Err(Refusal::ambiguous_credentials()),
        };
        match authorizations.next().is_some() || bearers.next().is_some() {
            true => Err(Refusal::ambiguous_credentials()),
            false => Ok(proof),
        }
    }

    fn from_authorization(header: &[u8]) -> Result<Self, Refusal> {
        let malformed =
            || Refusal::malformed("Authorization must be Bearer <token> or Basic <base64 of name:password>");
        let space = header.iter().position(|c| *c == b' ').ok_or_else(malformed)?;
        let (scheme, value) = (&header[..space], header[space..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return Ok(Proof::Token(value.into()));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Ok(Proof::Nothing);
        }
        let decoded = BASE64.decode(value).map_err(|_| malformed())?;
        let colon = decoded.iter().position(|c| *c == b':').ok_or_else(malformed)?;
        let name = String::from_utf8(decoded[..colon].into()).map_err(|_| malformed())?;
        Ok(Proof::Password { name, password: decoded[colon + 1..].into() })
    }

    /// As authentication takes it.
    pub(super) fn presented(&self) -> Presented<'_> {
        match self {
            Proof::Nothing => Presented::Nothing,
            Proof::Token(token) => Presented::Token(token),
            Proof::Password { name, password } => Presented::Password { name, password },
        }
    }
}
