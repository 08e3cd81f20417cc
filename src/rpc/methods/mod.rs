//! The methods, each with the scope that it requires.

mod clients;
mod gateway;
mod nodes;

use super::method::Method;
use crate::rpc::method::scope::{INVOKE, PUBLISH, READ, WRITE};

/// All methods, by name.
pub const METHODS: &[Method] = &[
    Method::new("clients.closed", Some(READ), clients::closed),
    Method::new("clients.disconnect", Some(WRITE), clients::disconnect),
    Method::new("clients.get", Some(READ), clients::get),
    Method::new("clients.list", Some(READ), clients::list),
    Method::new("clients.send", Some(WRITE), clients::send),
    Method::new("gateway.echo", None, gateway::echo),
    Method::new("gateway.health", None, gateway::health),
    Method::new("gateway.methods", None, gateway::list_methods),
    Method::new("gateway.ping", None, gateway::ping),
    Method::new("gateway.publish", Some(PUBLISH), gateway::publish),
    Method::new("gateway.subscribe", None, gateway::subscribe),
    Method::new("gateway.unsubscribe", None, gateway::unsubscribe),
    Method::new("gateway.whoami", None, gateway::whoami),
    Method::new("node.announce", None, nodes::announce),
    Method::new("node.invoke", Some(INVOKE), nodes::invoke),
    Method::new("node.list", Some(READ), nodes::list),
];
