//! Stands for the gateway that aisopod-gateway replaces: a web framework's WebSocket (axum), a concurrent map of
//! clients by a UUID's text (DashMap), and for each connection a task that selects over its socket, a channel of
//! outgoing messages and a timer of its own for pings. Libraries work with their defaults.
//!
//! With `--tuned` it is the same with every buffer set small: those of the WebSocket, of the channel and of hyper. What
//! it does is the same otherwise.
//!
//! Leaves out what the real one had beside it: authentication, methods, events, logs.

use aisopod_peers::{BROADCAST, Options, PATH, UNANSWERED, rpc};
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use dashmap::DashMap;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};
use uuid::Uuid;

/// Outgoing messages that may wait for a client: what the predecessor had, and what is enough.
const CHANNEL: usize = 256;
const CHANNEL_TUNED: usize = 16;

/// With `--tuned`, in bytes.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 4 * 1024;
const MAX_WRITE_BUFFER: usize = 4 * 1024 * 1024;
const MAX_MESSAGE: usize = 1024 * 1024;
/// The least that hyper takes.
const HTTP_BUFFER: usize = 8 * 1024;

struct Gateway {
    clients: DashMap<String, mpsc::Sender<Message>>,
    options: Options,
}

fn main() -> ExitCode {
    aisopod_peers::run(Some("tuned"), serve)
}

async fn serve(listener: TcpListener, options: Options) {
    let gateway = Arc::new(Gateway { clients: DashMap::new(), options });
    let router = Router::new().route(PATH, any(upgrade)).with_state(gateway);
    if options.variant {
        return serve_tuned(listener, router).await;
    }
    let listener = listener.tap_io(|stream| {
        // Not having it is no reason to refuse a client.
        let _ = stream.set_nodelay(true);
    });
    if let Err(error) = axum::serve(listener, router).await {
        eprintln!("{error}");
    }
}

/// As `axum::serve`, which has no setting for hyper's buffers.
async fn serve_tuned(listener: TcpListener, router: Router) {
    loop {
        let stream = aisopod_peers::accept(&listener).await;
        let service = TowerToHyperService::new(router.clone());
        let mut http = hyper::server::conn::http1::Builder::new();
        http.max_buf_size(HTTP_BUFFER);
        // A connection that breaks is its client's affair.
        tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), service).with_upgrades().await });
    }
}

async fn upgrade(upgrade: WebSocketUpgrade, State(gateway): State<Gateway>) -> Response {
    let upgrade = if gateway.options.variant {
        upgrade
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(MAX_MESSAGE)
            .max_frame_size(MAX_MESSAGE)
    } else {
        upgrade
    };
    upgrade.on_upgrade(move |socket| connected(socket, gateway))
}

async fn connected(socket: WebSocket, gateway: Gateway) {
    let id = Uuid::new_v4().to_string();
    let (sender, outgoing) = mpsc::channel(if gateway.options.variant { CHANNEL_TUNED } else { CHANNEL });
    gateway.clients.insert(id.clone(), sender);
    // However it ended, the client is gone.
    let _ = talk(socket, outgoing, &gateway).await;
    gateway.clients.remove(&id);
}

async fn talk(
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
                Some(Message::Text(text)) => socket.send(gateway.answer(text)).await?,
                Some(Message::Pong(_)) => unanswered = 0,
                // axum answers both.
                Some(Message::Ping(_) | Message::Close(_)) => {}
                Some(Message::Binary(_)) | None => return Ok(()),
            },
            Some(message) = outgoing.recv() => socket.send(message).await?,
            _ = pings.tick() => {
                if unanswered == UNANSWERED {
                    return Ok(());
                }
                unanswered += 1;
                socket.send(Message::Ping(Default::default())).await?;
            }
        }
    }
}

impl Gateway {
    fn answer(&self, text: Utf8Bytes) -> Message {
        if self.options.json { Message::text(rpc(&text)) } else { Message::Text(text) }
    }

    fn broadcast(&self, text: Utf8Bytes) {
        for client in &self.clients {
            // Who is full misses it.
            let _ = client.try_send(Message::Text(text.clone()));
        }
    }
}
