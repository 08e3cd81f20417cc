//! Any text message of a client causes no panic and at most one response, and a notification causes none.

#![no_main]

use aisopod_gateway::auth::AuthInfo;
use aisopod_gateway::config::Config;
use aisopod_gateway::internals::{Heartbeat, LiveConfig, Outbox, OutboxContext, Presence, RemoteAddr, Router, SessionStats};
use aisopod_gateway::{ClientRegistry, ConnId, GatewayClient, Handler, Message};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Waker};

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let config = LiveConfig::new(Config::new(1024));
    let presence = Arc::new(Presence::new(config.clone()));
    let heartbeat = Arc::new(Heartbeat::new(config.clone(), Arc::<SessionStats>::default()));
    Router::new(config, Arc::<ClientRegistry>::default(), presence, heartbeat)
});

/// A client without a socket, so messages to it stay in its outbox.
fn client() -> Arc<GatewayClient> {
    let max_bytes = 1 << 30;
    let outbox = Outbox::new(Arc::new(OutboxContext { max_bytes: max_bytes.into(), stats: Arc::default(), memory: Arc::default() }));
    Arc::new(GatewayClient::new(ConnId::random(), outbox, RemoteAddr::Unix, Arc::new(AuthInfo::anonymous())))
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
    if let Some(mut future) = ROUTER.on_message(&client, Message::from(text)) {
        // Outside a task tokio's cooperative budget is unlimited, so the future never yields.
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
    let answers = client.outbox.snapshot().outbox_messages;
    assert!(answers <= 1, "{answers} answers to {text:?}");
    // Excludes texts with duplicate members, which are invalid, and with escapes, which could hide a duplicate.
    let is_plain_notification = serde_json::from_str::<Value>(text).is_ok_and(|message| {
        is_notification(&message)
            && text.matches("\"jsonrpc\"").count() == message.as_array().map_or(1, Vec::len)
            && !text.contains('\\')
            && text.matches("\"method\"").count() == text.matches("\"jsonrpc\"").count()
            && text.matches("\"params\"").count() <= text.matches("\"jsonrpc\"").count()
            && text.matches("\"result\"").count() + text.matches("\"error\"").count() == 0
    });
    assert!(!is_plain_notification || answers == 0, "an answer to the notification {text:?}");
});
