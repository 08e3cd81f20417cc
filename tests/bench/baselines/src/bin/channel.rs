//! The predecessor's design for events: one `tokio::sync::broadcast` channel; each connection's task receives every
//! event from it and serializes it again. The web framework is axum with its defaults.
//!
//! Implements `gateway.subscribe` without regard to topics, and `gateway.publish`. A client that lags by more than the
//! channel's capacity misses events.

use aisopod_baselines::{Options, PATH, default_runtime, serve_axum};
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// Events that a connection may lag by: more than are published at once.
const CHANNEL_CAPACITY: usize = 4096;

#[derive(Clone)]
struct Event {
    seq: u64,
    topic: Arc<str>,
    data: Value,
}

struct Gateway {
    events: broadcast::Sender<Event>,
    seq: AtomicU64,
}

fn main() -> ExitCode {
    aisopod_baselines::run(default_runtime(), serve)
}

async fn serve(listener: TcpListener, _: Options) {
    let gateway = Arc::new(Gateway { events: broadcast::Sender::new(CHANNEL_CAPACITY), seq: AtomicU64::new(0) });
    let router = Router::new().route(PATH, any(upgrade)).with_state(gateway);
    serve_axum(listener, router).await;
}

async fn upgrade(upgrade: WebSocketUpgrade, State(gateway): State<Arc<Gateway>>) -> Response {
    upgrade.on_upgrade(move |socket| async move { drop(run_session(socket, &gateway).await) })
}

async fn run_session(mut socket: WebSocket, gateway: &Gateway) -> Result<(), axum::Error> {
    let (mut events, mut is_subscribed) = (gateway.events.subscribe(), false);
    loop {
        tokio::select! {
            received = socket.recv() => match received.transpose()? {
                Some(Message::Text(text)) => {
                    let response = gateway.response(&text, &mut is_subscribed);
                    socket.send(Message::text(response.to_string())).await?;
                }
                Some(_) => {}
                None => return Ok(()),
            },
            event = events.recv() => {
                if let Some(event) = event.ok().filter(|_| is_subscribed) {
                    socket.send(Message::text(notification(&event).to_string())).await?;
                }
            }
        }
    }
}

fn notification(event: &Event) -> Value {
    let params = json!({ "topic": &*event.topic, "seq": event.seq, "data": event.data });
    json!({ "jsonrpc": "2.0", "method": "gateway.event", "params": params })
}

impl Gateway {
    fn response(&self, text: &str, is_subscribed: &mut bool) -> Value {
        let mut request: Value = serde_json::from_str(text).unwrap_or_default();
        let result = match request["method"].as_str() {
            Some("gateway.subscribe") => {
                *is_subscribed = true;
                json!({ "topics": request["params"]["topics"] })
            }
            Some("gateway.publish") => {
                let topic = request["params"]["topic"].as_str().unwrap_or_default().into();
                let data = request["params"]["data"].take();
                let seq = self.seq.fetch_add(1, Relaxed) + 1;
                // The publisher's own task has a receiver, so this doesn't fail.
                let queued = self.events.send(Event { seq, topic, data }).unwrap_or_default();
                json!({ "queued": queued })
            }
            _ => return json!({ "jsonrpc": "2.0", "error": { "code": -32601, "message": "?" }, "id": request["id"] }),
        };
        json!({ "jsonrpc": "2.0", "result": result, "id": request["id"] })
    }
}
