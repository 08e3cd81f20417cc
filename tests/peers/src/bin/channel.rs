//! Stands for the predecessor's way with events: one `tokio::sync::broadcast` channel, from which the task of each
//! connection receives, and serialises each event for itself. The web framework is the predecessor's (axum), with its
//! defaults.
//!
//! Knows `gateway.subscribe`, whatever the topics, and `gateway.publish`; whoever falls behind by more than the channel
//! holds misses events.

use aisopod_peers::{Options, PATH};
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// Events that a connection may be behind: more than are published at once.
const CHANNEL: usize = 4096;

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
    aisopod_peers::run(None, serve)
}

async fn serve(listener: TcpListener, _: Options) {
    let gateway = Arc::new(Gateway { events: broadcast::Sender::new(CHANNEL), seq: AtomicU64::new(0) });
    let router = Router::new().route(PATH, any(upgrade)).with_state(gateway);
    let listener = listener.tap_io(|stream| {
        // Not having it is no reason to refuse a client.
        let _ = stream.set_nodelay(true);
    });
    if let Err(error) = axum::serve(listener, router).await {
        eprintln!("{error}");
    }
}

async fn upgrade(upgrade: WebSocketUpgrade, State(gateway): State<Gateway>) -> Response {
    // However it ends, the client is gone.
    upgrade.on_upgrade(move |socket| async move { drop(talk(socket, &gateway).await) })
}

async fn talk(mut socket: WebSocket, gateway: &Gateway) -> Result<(), axum::Error> {
    let (mut events, mut is_subscribed) = (gateway.events.subscribe(), false);
    loop {
        tokio::select! {
            received = socket.recv() => match received.transpose()? {
                Some(Message::Text(text)) => {
                    let answer = gateway.answer(&text, &mut is_subscribed);
                    socket.send(Message::text(answer.to_string())).await?;
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
    fn answer(&self, text: &str, is_subscribed: &mut bool) -> Value {
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
                // Nobody may be there to receive it.
                let queued = self.events.send(Event { seq, topic, data }).unwrap_or_default();
                json!({ "queued": queued })
            }
            _ => return json!({ "jsonrpc": "2.0", "error": { "code": -32601, "message": "?" }, "id": request["id"] }),
        };
        json!({ "jsonrpc": "2.0", "result": result, "id": request["id"] })
    }
}
