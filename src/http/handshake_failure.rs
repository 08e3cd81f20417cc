//! The causes for which a handshake fails, as they are counted, logged and answered.

use crate::labels::labels;

labels! {
    /// Why a handshake failed.
    pub enum HandshakeFailure {
        BadRequest = "bad_request",
        TokenInQuery = "token_in_query",
        AmbiguousCredentials = "ambiguous_credentials",
        MethodNotAllowed = "method_not_allowed",
        UpgradeRequired = "upgrade_required",
        VersionNotSupported = "version_not_supported",
        Unauthorized = "unauthorized",
        OriginNotAllowed = "origin_not_allowed",
        PresenceTaken = "presence_taken",
        /// The clients of the presence key replace each other in a loop.
        ReplaceLoop = "replace_loop",
        /// Without credentials, only clients on this machine may connect.
        NotLocal = "not_local",
        /// The address is locked out after `per_address.max_failures_per_minute`.
        TooManyFailures = "too_many_failures",
        /// The address has `per_address.max_connections`.
        TooManyConnections = "too_many_connections",
        /// The address exceeds `per_address.max_connects_per_second`.
        TooManyConnects = "too_many_connects",
        /// A trusted proxy's connection doesn't begin with a PROXY protocol header, although `proxy.protocol` is set.
        InvalidProxyHeader = "invalid_proxy_header",
        /// The request line and headers are larger than `handshake.max_header_bytes`, or there are over 100 headers.
        HeaderTooLarge = "header_too_large",
        /// The connection limit is reached.
        Full = "full",
        /// The oldest connection that had sent no whole request was dropped, to make room.
        Displaced = "displaced",
        Draining = "draining",
        /// The connection ended before its request was answered.
        Disconnected = "disconnected",
    }
}

impl HandshakeFailure {
    /// The close code that stands for this failure if it is told after an upgrade; `None` for a failure that is always
    /// an HTTP status, since the client is no browser, or has made a mistake.
    pub fn close_code(self) -> Option<u16> {
        Some(match self {
            HandshakeFailure::Draining => 1012,
            HandshakeFailure::Full => 1013,
            HandshakeFailure::Unauthorized => 4003,
            HandshakeFailure::PresenceTaken | HandshakeFailure::ReplaceLoop => 4103,
            HandshakeFailure::TooManyFailures
            | HandshakeFailure::TooManyConnections
            | HandshakeFailure::TooManyConnects => 4104,
            _ => return None,
        })
    }
}
