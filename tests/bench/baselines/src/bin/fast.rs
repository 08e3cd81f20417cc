//! fastwebsockets on hyper, used as well as it can be: after the upgrade, frames are read from and written to the bare
//! TCP stream, and messages for all clients pass through one broadcast channel, which costs a connection little. Each
//! connection has a ping timer.
//!
//! Leaves out authentication and a registry of clients: no client can be looked up or addressed.

use aisopod_baselines::{BROADCAST, MAX_UNANSWERED, Options, PATH, default_runtime};
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocketError, after_handshake_split};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::ready;
use std::io::Cursor;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::{Instant, interval_at};

/// Broadcasts that a client may lag by.
const CHANNEL_CAPACITY: usize = 256;

type Reader = FragmentCollectorRead<tokio::io::Chain<Cursor<Vec<u8>>, OwnedReadHalf>>;
type Writer = fastwebsockets::WebSocketWrite<OwnedWriteHalf>;

/// The state that all connections share.
struct Server {
    broadcasts: broadcast::Sender<Arc<str>>,
    options: Options,
}

fn main() -> ExitCode {
    aisopod_baselines::run(default_runtime(), serve)
}

async fn serve(listener: TcpListener, options: Options) {
    let server = Arc::new(Server { broadcasts: broadcast::Sender::new(CHANNEL_CAPACITY), options });
    loop {
        let stream = aisopod_baselines::accept(&listener).await;
        let server = server.clone();
        let service = service_fn(move |request| ready(respond(request, &server)));
        let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A broken connection needs no handling.
        tokio::spawn(http.with_upgrades());
    }
}

fn respond(mut request: Request<Incoming>, server: &Arc<Server>) -> Result<Response<Empty<Bytes>>, Infallible> {
    if request.uri().path() != PATH {
        return Ok(error_response(StatusCode::NOT_FOUND));
    }
    let Ok((response, upgraded)) = upgrade(&mut request) else { return Ok(error_response(StatusCode::BAD_REQUEST)) };
    let server = server.clone();
    tokio::spawn(async move {
        if let Ok((reader, writer)) = open_stream(upgraded).await {
            // Every end of a session is handled alike.
            let _ = run_session(reader, writer, &server).await;
        }
    });
    Ok(response)
}

fn error_response(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

/// The two halves of the WebSocket, on the bare TCP stream.
async fn open_stream(upgraded: UpgradeFut) -> Result<(Reader, Writer), WebSocketError> {
    let http = upgraded.await?.into_inner().into_inner();
    let parts = http.downcast::<TokioIo<TcpStream>>().map_err(|_| WebSocketError::InvalidConnectionHeader)?;
    let (reader, writer) = parts.io.into_inner().into_split();
    // A copy: the original would keep hyper's buffer alive.
    let reader = Cursor::new(parts.read_buf.to_vec()).chain(reader);
    let (mut reader, writer) = after_handshake_split(reader, writer, Role::Server);
    // The session answers both, since it owns the writer.
    reader.set_auto_pong(false);
    reader.set_auto_close(false);
    Ok((FragmentCollectorRead::new(reader), writer))
}

async fn run_session(mut reader: Reader, mut writer: Writer, server: &Server) -> Result<(), WebSocketError> {
    let period = server.options.ping_interval;
    let (mut pings, mut unanswered) = (interval_at(Instant::now() + period, period), 0);
    let mut broadcasts = server.broadcasts.subscribe();
    // The reader sends neither pongs nor close frames by itself.
    let mut send_nothing = |_: Frame<'_>| ready(Ok::<(), Infallible>(()));
    loop {
        let mut reading = pin!(reader.read_frame(&mut send_nothing));
        // The future is kept across the other branches: dropping it would lose a partial frame.
        let frame = loop {
            tokio::select! {
                biased;
                frame = &mut reading => break frame?,
                text = broadcasts.recv() => {
                    // A client that lags too far misses messages.
                    let Ok(text) = text else { continue };
                    writer.write_frame(Frame::text(Payload::Borrowed(text.as_bytes()))).await?;
                }
                _ = pings.tick() => {
                    if unanswered == MAX_UNANSWERED {
                        return Ok(());
                    }
                    unanswered += 1;
                    writer.write_frame(Frame::new(true, OpCode::Ping, None, Payload::Borrowed(&[]))).await?;
                }
            }
        };
        match frame.opcode {
            OpCode::Text => reply(&mut writer, frame, server).await?,
            OpCode::Ping => writer.write_frame(Frame::pong(frame.payload)).await?,
            OpCode::Pong => unanswered = 0,
            OpCode::Close => return writer.write_frame(Frame::close_raw(frame.payload)).await,
            OpCode::Binary | OpCode::Continuation => return Ok(()),
        }
    }
}

async fn reply(writer: &mut Writer, frame: Frame<'_>, server: &Server) -> Result<(), WebSocketError> {
    if frame.payload.first() != Some(&BROADCAST) {
        return writer.write_frame(frame).await;
    }
    let text = std::str::from_utf8(&frame.payload).map_err(|_| WebSocketError::InvalidUTF8)?;
    // The sender itself is subscribed, so there is a receiver.
    let _ = server.broadcasts.send(text.into());
    Ok(())
}
