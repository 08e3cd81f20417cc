//! HTTP requests and responses: the opening handshake, credentials, origins, errors, the limit on failed
//! authentications.
//!
//! Independent of connections: it reads headers and builds responses.

pub mod auth_limiter;
pub mod credentials;
pub mod error;
pub mod handshake;
pub mod headers;
pub mod origin;
pub mod response;
