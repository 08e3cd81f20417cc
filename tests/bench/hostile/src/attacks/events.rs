//! Subscriptions, publications and announcements.

use super::requests::{request, text};
use super::{Attack, FEW, Group, Script};
use crate::gateway::Credential;

/// Subscribers of the flooded topic, which read what they get.
const SUBSCRIBERS: usize = 200;

pub fn all() -> Vec<Attack> {
    vec![subscriptions(), subscription_of_all(), publications(64), publications(16 * 1024), announcements()]
}

fn subscriptions() -> Attack {
    let topics = r#"{"topics":["flood"]}"#;
    let both = [request("gateway.subscribe", topics), request("gateway.unsubscribe", topics)];
    let both = both.map(|request| text(&request)).concat();
    Attack::flood("subscribe, unsubscribe", Credential::Plain, &[], &both)
}

/// As many topics as one client may subscribe to, and none of them afterwards.
fn subscription_of_all() -> Attack {
    let topics: Vec<String> = (0..100).map(|number| format!("\"flood.{number}\"")).collect();
    let params = format!(r#"{{"topics":[{}]}}"#, topics.join(","));
    let both = [request("gateway.subscribe", &params), request("gateway.unsubscribe", &params)];
    let both = both.map(|request| text(&request)).concat();
    Attack::flood("subscribe, unsubscribe, 100 topics", Credential::Plain, &[], &both)
}

fn publications(bytes: usize) -> Attack {
    let subscribe = text(&request("gateway.subscribe", r#"{"topics":["flood"]}"#));
    let params = format!(r#"{{"topic":"flood","data":"{}"}}"#, "x".repeat(bytes));
    let publish = text(&request("gateway.publish", &params));
    Attack::new(
        format!("publish {bytes} bytes to {SUBSCRIBERS}"),
        [
            Group::websocket(SUBSCRIBERS, Credential::Plain, Script::hold(&subscribe)),
            Group::websocket(FEW, Credential::Publisher, Script::flood(&[], &publish)),
        ],
    )
}

fn announcements() -> Attack {
    let methods: Vec<String> = (0..1000).map(|number| format!("\"method.{number}\"")).collect();
    let params = format!(r#"{{"capabilities":[{{"service":"flood","methods":[{}]}}]}}"#, methods.join(","));
    Attack::flood("announcements of 1,000 methods", Credential::Node, &[], &text(&request("node.announce", &params)))
}
