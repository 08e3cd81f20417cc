//! The methods, each with the scope that it requires.

mod clients;
mod gateway;
mod nodes;

pub use gateway::end_forbidden_subscriptions;

use super::method::Method;
use crate::rpc::method::scope::{INVOKE, PUBLISH, READ, WRITE};

/// All methods, in the order in which they are described.
pub const METHODS: &[Method] = &[
    Method::new("gateway.ping", None, "returns `pong`", gateway::ping),
    Method::new("gateway.echo", None, "returns its params", gateway::echo),
    Method::new("gateway.whoami", None, "what the gateway knows about the caller", gateway::whoami),
    Method::new("gateway.health", None, "how many clients are connected", gateway::health),
    Method::new("gateway.methods", None, "the names of all methods", gateway::list_methods),
    Method::new("gateway.subscribe", None, "subscribes to topics", gateway::subscribe)
        .checks("`events:read`; `clients:read` for `presence` and `health`"),
    Method::new("gateway.unsubscribe", None, "unsubscribes from topics", gateway::unsubscribe),
    Method::new("gateway.publish", Some(PUBLISH), "publishes an event to a topic", gateway::publish),
    Method::new("clients.list", Some(READ), "connected clients, with filters and pages", clients::list),
    Method::new("clients.get", Some(READ), "one client, with its scopes, subscriptions and calls", clients::get),
    Method::new("clients.closed", Some(READ), "connections that ended, and why", clients::closed),
    Method::new("clients.send", Some(WRITE), "sends a notification to clients", clients::send),
    Method::new("clients.disconnect", Some(WRITE), "closes clients", clients::disconnect),
    Method::new("node.announce", None, "sets the calling node's capabilities", nodes::announce)
        .checks("none, nodes only"),
    Method::new("node.list", Some(READ), "connected nodes and their capabilities", nodes::list),
    Method::new("node.invoke", Some(INVOKE), "calls a method on a node", nodes::invoke),
];
