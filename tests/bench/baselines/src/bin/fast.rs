//! Stands for the fast library that one would reach for: fastwebsockets on hyper, done well. The HTTP layer is taken away
//! after the upgrade, so that frames are read from and written to the bare TCP stream, and messages for everybody come
//! through one broadcast channel, which costs a connection little. Each connection has a timer for its pings.
//!
//! Leaves out authentication and a registry of clients: nobody here can be looked up or addressed.

use aisopod_peers::{BROADCAST, Options, PATH, UNANSWERED, rpc};
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

/// Messages for everybody that a client may be behind.
const BEHIND: usize = 256;

type Reader = FragmentCollectorRead<tokio::io::Chain<Cursor<Vec<u8>>, OwnedReadHalf>>;
type Writer = fastwebsockets::WebSocketWrite<OwnedWriteHalf>;

/// What all connections share.
struct Server {
    everybody: broadcast::Sender<Arc<str>>,
    options: Options,
}

fn main() -> ExitCode {
    aisopod_peers::run(None, serve)
}

async fn serve(listener: TcpListener, options: Options) {
    let server = Arc::new(Server { everybody: broadcast::Sender::new(BEHIND), options });
    loop {
        let stream = aisopod_peers::accept(&listener).await;
        let server = server.clone();
        let service = service_fn(move |request| ready(answer(request, &server)));
        let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // A connection that breaks is its client's affair.
        tokio::spawn(http.with_upgrades());
    }
}

fn answer(mut request: Request<Incoming>, server: &Arc<Server>) -> Result<Response<Empty<Bytes>>, Infallible> {
    if request.uri().path() != PATH {
        return Ok(refusal(StatusCode::NOT_FOUND));
    }
    let Ok((response, upgraded)) = upgrade(&mut request) else { return Ok(refusal(StatusCode::BAD_REQUEST)) };
    let server = server.clone();
    tokio::spawn(async move {
        if let Ok((reader, writer)) = open(upgraded).await {
            // However it ended, the client is gone.
            let _ = talk(reader, writer, &server).await;
        }
    });
    Ok(response)
}

fn refusal(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

/// The two halves of the WebSocket, on the TCP stream itself.
async fn open(upgraded: UpgradeFut) -> Result<(Reader, Writer), WebSocketError> {
    let http = upgraded.await?.into_inner().into_inner();
    let parts = http.downcast::<TokioIo<TcpStream>>().map_err(|_| WebSocketError::InvalidConnectionHeader)?;
    let (reader, writer) = parts.io.into_inner().into_split();
    // A copy: the original would hold on to hyper's buffer.
    let reader = Cursor::new(parts.read_buf.to_vec()).chain(reader);
    let (mut reader, writer) = after_handshake_split(reader, writer, Role::Server);
    // Both are answered below, where the writer is.
    reader.set_auto_pong(false);
    reader.set_auto_close(false);
    Ok((FragmentCollectorRead::new(reader), writer))
}

async fn talk(mut reader: Reader, mut writer: Writer, server: &Server) -> Result<(), WebSocketError> {
    let period = server.options.ping_interval;
    let (mut pings, mut unanswered) = (interval_at(Instant::now() + period, period), 0);
    let mut everybody = server.everybody.subscribe();
    // The reader is never obliged to send: it neither pongs nor closes by itself.
    let mut nothing = |_: Frame<'_>| ready(Ok::<(), Infallible>(()));
    loop {
        let mut reading = pin!(reader.read_frame(&mut nothing));
        // Reading goes on where it was: a frame that is half there would be lost otherwise.
        let frame = loop {
            tokio::select! {
                biased;
                frame = &mut reading => break frame?,
                text = everybody.recv() => {
                    // Who is too far behind misses what was overwritten.
                    let Ok(text) = text else { continue };
                    writer.write_frame(Frame::text(Payload::Borrowed(text.as_bytes()))).await?;
                }
                _ = pings.tick() => {
                    if unanswered == UNANSWERED {
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
    let is_for_everybody = frame.payload.first() == Some(&BROADCAST);
    if !is_for_everybody && !server.options.json {
        return writer.write_frame(frame).await;
    }
    let text = std::str::from_utf8(&frame.payload).map_err(|_| WebSocketError::InvalidUTF8)?;
    if is_for_everybody {
        // The sender listens too, so there is somebody.
        let _ = server.everybody.send(text.into());
        return Ok(());
    }
    writer.write_frame(Frame::text(Payload::Borrowed(rpc(text).as_bytes()))).await
}
