//! HTTP requests and responses: the opening handshake, credentials, hosts, origins, errors, the limit on failed
//! authentications.
//!
//! Independent of connections: it reads headers and builds responses.

pub mod auth_limiter;
pub mod cors;
pub mod credentials;
pub mod error;
pub mod forwarded;
pub mod handshake;
mod handshake_failure;
pub mod headers;
pub mod host;
pub mod origin;
pub mod percent;
pub mod response;
