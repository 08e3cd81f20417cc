//! Extracting credentials from the headers of a request.

use super::error::HttpError;
use super::headers::list_items;
use crate::auth::Credentials;
use data_encoding::BASE64;
use hyper::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};

/// The subprotocol of the gateway. A browser must offer it together with its token.
pub const PROTOCOL: &str = "aisopod.v1";

/// The prefix of a token that is sent as a subprotocol, since a browser can't set headers of a handshake.
pub const BEARER_PROTOCOL: &str = "bearer.";

/// Owned credentials of a request. It has no `Debug`, because it holds secrets.
pub enum RequestCredentials {
    Nothing,
    Token(Vec<u8>),
    Password { name: String, password: Vec<u8> },
}

impl RequestCredentials {
    /// Reads `Authorization` (RFC 6750, RFC 7617) or the subprotocol `bearer.TOKEN`.
    ///
    /// # Errors
    /// 400 if there are several credentials, or one is malformed.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, HttpError> {
        let mut bearers =
            list_items(headers, SEC_WEBSOCKET_PROTOCOL).filter_map(|item| item.strip_prefix(BEARER_PROTOCOL));
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let credentials = match (authorizations.next(), bearers.next()) {
            (None, None) => RequestCredentials::Nothing,
            (Some(header), None) => Self::from_authorization(header.as_bytes())?,
            (None, Some(token)) => RequestCredentials::Token(token.into()),
            (Some(_), Some(_)) => return Err(HttpError::ambiguous_credentials()),
        };
        if authorizations.next().is_some() || bearers.next().is_some() {
            return Err(HttpError::ambiguous_credentials());
        }
        Ok(credentials)
    }

    fn from_authorization(header: &[u8]) -> Result<Self, HttpError> {
        let malformed =
            || HttpError::bad_request("Authorization must be Bearer TOKEN, or Basic with NAME:PASSWORD in base64");
        let space = header.iter().position(|c| *c == b' ').ok_or_else(malformed)?;
        let (scheme, value) = (&header[..space], header[space..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return Ok(RequestCredentials::Token(value.into()));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Ok(RequestCredentials::Nothing);
        }
        let decoded = BASE64.decode(value).map_err(|_| malformed())?;
        let colon = decoded.iter().position(|c| *c == b':').ok_or_else(malformed)?;
        let name = String::from_utf8(decoded[..colon].into()).map_err(|_| malformed())?;
        Ok(RequestCredentials::Password { name, password: decoded[colon + 1..].into() })
    }

    /// Borrows them for [`crate::auth::Authenticator::authenticate`].
    pub fn as_credentials(&self) -> Credentials<'_> {
        match self {
            RequestCredentials::Nothing => Credentials::Nothing,
            RequestCredentials::Token(token) => Credentials::Token(token),
            RequestCredentials::Password { name, password } => Credentials::Password { name, password },
        }
    }
}
