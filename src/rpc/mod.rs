//! JSON-RPC 2.0: messages in, methods called, responses sent to the client that called.
//!
//! Reached through [`Handler`](crate::client::Handler), and by the operators' HTTP; knows nothing of streams.

pub mod http_call;
pub mod method;
pub mod methods;
pub mod node_calls;
pub mod protocol;
pub mod pubsub;
pub mod query;
pub mod router;
pub mod state;
