//! The JSON-RPC 2.0 protocol: messages, errors, params, batches, responses.

pub mod array;
pub mod batch;
pub mod error;
pub mod message;
pub mod params;
pub mod portable;
pub mod responder;
pub mod response;
