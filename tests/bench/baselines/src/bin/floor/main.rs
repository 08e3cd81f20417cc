//! The least that a tokio program can do: a task and a socket per connection, a hand-written handshake, one read buffer
//! per thread in which frames are parsed in place, one write for all replies to one read, and a broadcast that is
//! encoded once and written directly to every socket. The runtime has the gateway's settings.
//!
//! Leaves out nearly everything: authentication, limits, deadlines, fragmented messages (their sender is disconnected),
//! the check for UTF-8, most of the close handshake, and any HTTP beyond the upgrade.

mod client;
mod handshake;

use aisopod_baselines::{BROADCAST, Options, gateway_runtime};
use client::Client;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use test_support::frames::{CLOSE, FIN, MAX_HEADER, PING, PONG, TEXT, append_server_frame, parse_client_frame};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::interval;

/// Largest read.
const READ_BUFFER: usize = 64 * 1024;

/// Groups of clients that are pinged at different times, spread over the interval as the gateway does it.
const PING_GROUPS: usize = 50;

/// First bytes of unfragmented frames.
const FINAL_TEXT: u8 = FIN | TEXT;
const FINAL_CLOSE: u8 = FIN | CLOSE;
const FINAL_PING: u8 = FIN | PING;
const FINAL_PONG: u8 = FIN | PONG;

/// The buffers of a thread.
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers { input: vec![0; READ_BUFFER], output: Vec::new() });
}

struct Server {
    /// By file descriptor.
    clients: Mutex<Vec<Option<Arc<Client>>>>,
    options: Options,
}

fn main() -> ExitCode {
    aisopod_baselines::run(gateway_runtime(), serve)
}

async fn serve(listener: TcpListener, options: Options) {
    let server = Arc::new(Server { clients: Mutex::default(), options });
    tokio::spawn(ping_all(server.clone()));
    loop {
        let stream = aisopod_baselines::accept(&listener).await;
        tokio::spawn(serve_client(server.clone(), stream));
    }
}

async fn serve_client(server: Arc<Server>, stream: TcpStream) {
    let Ok(rest) = handshake::accept_handshake(&stream).await else { return };
    let client = Arc::new(Client::new(stream));
    server.register(&client);
    // Every end of a session is handled alike.
    let _ = server.run_session(&client, rest).await;
    server.unregister(&client);
}

/// Pings each client once in every interval, with one timer for all.
async fn ping_all(server: Arc<Server>) {
    let mut ticks = interval(server.options.ping_interval / PING_GROUPS as u32);
    for group in (0..PING_GROUPS).cycle() {
        ticks.tick().await;
        for client in lock(&server.clients).iter().skip(group).step_by(PING_GROUPS).flatten() {
            client.ping();
        }
    }
}

impl Server {
    fn register(&self, client: &Arc<Client>) {
        let (index, mut clients) = (client.descriptor(), lock(&self.clients));
        if clients.len() <= index {
            clients.resize(index + 1, None);
        }
        clients[index] = Some(client.clone());
    }

    fn unregister(&self, client: &Client) {
        lock(&self.clients)[client.descriptor()] = None;
    }

    /// `unread` has the bytes that arrived with the handshake.
    async fn run_session(&self, client: &Arc<Client>, mut unread: Vec<u8>) -> io::Result<()> {
        if !unread.is_empty() {
            BUFFERS.with_borrow_mut(|buffers| self.receive(client, &mut unread, &mut [], &mut buffers.output))?;
        }
        loop {
            readable(&client.stream).await?;
            // Synchronous, so that its locals don't enlarge the task's future.
            let is_flushed = BUFFERS.with_borrow_mut(|buffers| self.read_once(client, &mut unread, buffers))?;
            if !is_flushed {
                // Rare, so it is boxed: inline it would enlarge the future of every task.
                Box::pin(client.flush()).await?;
            }
        }
    }

    /// Reads once, and answers all complete frames. Returns whether all replies were written.
    fn read_once(&self, client: &Arc<Client>, unread: &mut Vec<u8>, buffers: &mut Buffers) -> io::Result<bool> {
        match client.stream.try_read(&mut buffers.input) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.receive(client, unread, &mut buffers.input[..length], &mut buffers.output),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Handles received bytes. `unread` holds the incomplete frame that precedes them and, afterwards, the one they end
    /// with.
    fn receive(
        &self,
        client: &Arc<Client>,
        unread: &mut Vec<u8>,
        received: &mut [u8],
        output: &mut Vec<u8>,
    ) -> io::Result<bool> {
        output.clear();
        if unread.is_empty() {
            let handled = self.answer_frames(client, received, output)?;
            unread.extend_from_slice(&received[handled..]);
        } else {
            unread.extend_from_slice(received);
            let handled = self.answer_frames(client, unread, output)?;
            unread.drain(..handled);
        }
        if unread.is_empty() {
            // Releases the memory of a large message.
            *unread = Vec::new();
        }
        if output.is_empty() { Ok(true) } else { client.send(output) }
    }

    /// Appends the replies to all complete frames to `output`, and returns the length of these frames.
    fn answer_frames(&self, client: &Arc<Client>, bytes: &mut [u8], output: &mut Vec<u8>) -> io::Result<usize> {
        let mut handled = 0;
        while let Some(frame) = parse_client_frame(&mut bytes[handled..]).map_err(|_| ErrorKind::InvalidData)? {
            handled += frame.len;
            let payload = frame.payload;
            match frame.first {
                FINAL_TEXT if payload.first() == Some(&BROADCAST) => self.broadcast(payload),
                FINAL_TEXT => append_server_frame(output, FINAL_TEXT, payload),
                FINAL_PING => append_server_frame(output, FINAL_PONG, payload),
                FINAL_PONG => client.unanswered.store(0, Relaxed),
                FINAL_CLOSE => {
                    append_server_frame(output, FINAL_CLOSE, payload);
                    let _ = client.send(output);
                    return Err(ErrorKind::ConnectionAborted.into());
                }
                _ => return Err(ErrorKind::InvalidData.into()),
            }
        }
        Ok(handled)
    }

    fn broadcast(&self, payload: &[u8]) {
        let mut frame = Vec::with_capacity(MAX_HEADER + payload.len());
        append_server_frame(&mut frame, FINAL_TEXT, payload);
        for client in lock(&self.clients).iter().flatten() {
            // The task of a broken connection ends by itself.
            let _ = client.send(&frame);
        }
    }
}

/// Like `TcpStream::readable`, but for a single task, which takes less memory.
async fn readable(stream: &TcpStream) -> io::Result<()> {
    poll_fn(|context| stream.poll_read_ready(context)).await
}

/// A panic can't leave what these locks protect half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
