//! JSON-RPC 2.0: dispatches messages to methods and sends the responses to the callers.
//!
//! Called by sessions through [`Handler`](crate::client::Handler), and by the admin API. Knows nothing of sockets.

pub mod http_call;
pub mod large_messages;
pub mod method;
pub mod methods;
pub mod node_calls;
pub mod protocol;
pub mod pubsub;
pub mod query;
pub mod router;
pub mod state;
