//! Any text message of a client causes no panic and at most one response, and a notification causes none.

#![no_main]

use aisopod_gateway::{ClientRegistry, ConnId, GatewayClient, Handler, RemoteAddr};
use aisopod_gateway::auth::AuthInfo;
use aisopod_gateway::config::Config;
use aisopod_gateway::internals::{Heartbeat, Outbox, OutboxContext, Presence, QueueLimits, Router, SessionStats};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::{Arc, LazyLock};

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let config = Config::new(1024);
    let presence = Arc::new(Presence::new(config.presence.clone()));
    let heartbeat = Arc::new(Heartbeat::new(&config.heartbeat, Arc::<Stats>::default()));
    Router::new(&config, Arc::<ClientRegistry>::default(), presence, heartbeat)
});

/// A client without a socket, so messages to it stay in its outbox.
fn client() -> Arc<GatewayClient> {
    let bounds = Bounds { messages: 1000, bytes: 1 << 30 };
    let sender = Sender::new(Arc::new(SenderContext { bounds, stats: Arc::default() }));
    Arc::new(GatewayClient::new(ConnId::random(), sender, RemoteAddr::Unix, Arc::new(AuthInfo::anonymous())))
}

/// Whether the message is a notification or a batch of notifications.
fn is_notification(message: &Value) -> bool {
    match message {
        Value::Array(all) => {
            !all.is_empty() && all.len() <= 100 && all.iter().all(|one| !one.is_array() && is_notification(one))
        }
        Value::Object(members) => {
            members.get("jsonrpc").is_some_and(|version| version == "2.0")
                && members.get("method").is_some_and(Value::is_string)
                && !members.contains_key("id")
        }
        _ => false,
    }
}

fuzz_target!(|text: &str| {
    let client = client();
    let rest = ROUTER.on_message(&client, text.into());
    assert!(rest.is_none(), "outside a task nothing is deferred");
    let answers = client.sender.state().outbox_messages;
    assert!(answers <= 1, "{answers} answers to {text:?}");
    // Duplicate members make a request invalid.
    let is_clear = serde_json::from_str::<Value>(text).is_ok_and(|message| {
        is_notification(&message)
            && text.matches("\"jsonrpc\"").count() == message.as_array().map_or(1, Vec::len)
            && !text.contains('\\')
            && text.matches("\"method\"").count() == text.matches("\"jsonrpc\"").count()
            && text.matches("\"params\"").count() <= text.matches("\"jsonrpc\"").count()
            && text.matches("\"result\"").count() + text.matches("\"error\"").count() == 0
    });
    assert!(!is_clear || answers == 0, "an answer to the notification {text:?}");
});
