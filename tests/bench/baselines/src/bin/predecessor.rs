//! The design of the gateway that aisopod-gateway replaces: a web framework's WebSocket (axum), a concurrent map of clients
//! by a UUID's text (DashMap), and for each connection a task that selects over its socket, a channel of outgoing messages
//! and a ping timer of its own. Libraries are used with their defaults.
//!
//! Leaves out authentication, methods, events and logs.

use aisopod_baselines::{BROADCAST, MAX_UNANSWERED, Options, PATH, default_runtime, serve_axum};
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use dashmap::DashMap;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};
use uuid::Uuid;

/// Outgoing messages that may wait for a client.
const CHANNEL_CAPACITY: usize = 256;

struct Gateway {
    clients: DashMap<String, mpsc::Sender<Message>>,
    options: Options,
}

fn main() -> ExitCode {
    aisopod_baselines::run(default_runtime(), serve)
}

async fn serve(listener: TcpListener, options: Options) {
    let gateway = Arc::new(Gateway { clients: DashMap::new(), options });
    let router = Router::new().route(PATH, any(upgrade)).with_state(gateway);
    serve_axum(listener, router).await;
}

async fn upgrade(upgrade: WebSocketUpgrade, State(gateway): State<Arc<Gateway>>) -> Response {
    upgrade.on_upgrade(move |socket| serve_client(socket, gateway))
}

async fn serve_client(socket: WebSocket, gateway: Arc<Gateway>) {
    let id = Uuid::new_v4().to_string();
    let (sender, outgoing) = mpsc::channel(CHANNEL_CAPACITY);
    gateway.clients.insert(id.clone(), sender);
    // Every end of a session is handled alike.
    let _ = run_session(socket, outgoing, &gateway).await;
    gateway.clients.remove(&id);
}

async fn run_session(
    mut socket: WebSocket,
    mut outgoing: mpsc::Receiver<Message>,
    gateway: &Gateway,
) -> Result<(), axum::Error> {
    let period = gateway.options.ping_interval;
    let (mut pings, mut unanswered) = (interval_at(Instant::now() + period, period), 0);
    loop {
        tokio::select! {
            received = socket.recv() => match received.transpose()? {
                Some(Message::Text(text)) if text.as_bytes().first() == Some(&BROADCAST) => gateway.broadcast(text),
                Some(Message::Text(text)) => socket.send(Message::Text(text)).await?,
                Some(Message::Pong(_)) => unanswered = 0,
                // axum answers both.
                Some(Message::Ping(_) | Message::Close(_)) => {}
                Some(Message::Binary(_)) | None => return Ok(()),
            },
            Some(message) = outgoing.recv() => socket.send(message).await?,
            _ = pings.tick() => {
                if unanswered == MAX_UNANSWERED {
                    return Ok(());
                }
                unanswered += 1;
                socket.send(Message::Ping(Default::default())).await?;
            }
        }
    }
}

impl Gateway {
    fn broadcast(&self, text: Utf8Bytes) {
        for client in &self.clients {
            // A full client misses the message.
            let _ = client.try_send(Message::Text(text.clone()));
        }
    }
}
