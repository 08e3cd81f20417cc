//! HTTP requests and responses, without any gateway: the opening handshake, credentials, origins, errors.

pub mod auth_limiter;
pub mod credentials;
pub mod error;
pub mod handshake;
pub mod headers;
pub mod origin;
pub mod response;
