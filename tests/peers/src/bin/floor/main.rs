//! Stands for the least that a program on tokio can do: a task and a socket for each connection, the handshake answered by
//! hand, frames parsed where they were read, in one buffer for each thread, all answers to one read in one write, a
//! message for everybody encoded once and written straight to every socket. No tokio program gets far under it.
//!
//! Leaves out nearly everything: authentication, limits, deadlines, fragmented messages (their sender is dropped), the
//! check for UTF-8, the close handshake's fine print, and any HTTP beside the upgrade.
//!
//! With `--deaf` it reads nothing after the handshake: what pings cost then is the `send` system call alone.

mod client;
mod deaf;
mod frames;
mod handshake;

use aisopod_peers::{BROADCAST, Options, rpc};
use client::Client;
use deaf::Deaf;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::interval;

/// What one read takes in at most.
const SCRATCH: usize = 64 * 1024;

/// Parts in which everybody is pinged, spread over the period, as the gateway does it.
const PARTS: usize = 50;

/// One for each thread.
struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static SCRATCH_BUFFERS: RefCell<Scratch> = RefCell::new(Scratch { input: vec![0; SCRATCH], output: Vec::new() });
}

/// Whom a text message is for.
enum For {
    Sender,
    Everybody,
}

struct Server {
    /// By their descriptors.
    clients: Mutex<Vec<Option<Arc<Client>>>>,
    deaf: Deaf,
    options: Options,
}

fn main() -> ExitCode {
    aisopod_peers::run(Some("deaf"), serve)
}

async fn serve(listener: TcpListener, options: Options) {
    let server = Arc::new(Server { clients: Mutex::default(), deaf: Deaf::default(), options });
    tokio::spawn(ping(server.clone()));
    loop {
        let stream = aisopod_peers::accept(&listener).await;
        tokio::spawn(connected(server.clone(), stream));
    }
}

async fn connected(server: Arc<Server>, stream: TcpStream) {
    let Ok(rest) = handshake::shake_hands(&stream).await else { return };
    if server.options.variant {
        return server.deaf.enter(stream);
    }
    let client = Arc::new(Client::new(stream));
    server.enter(&client);
    // However it ended, the client is gone.
    let _ = server.talk(&client, rest).await;
    server.leave(&client);
}

/// Pings everybody once in each period: there is no timer for each connection here.
async fn ping(server: Arc<Server>) {
    let period = server.options.ping_interval;
    if server.options.variant {
        return server.deaf.ping(period).await;
    }
    let mut parts = interval(period / PARTS as u32);
    for part in (0..PARTS).cycle() {
        parts.tick().await;
        for client in lock(&server.clients).iter().skip(part).step_by(PARTS).flatten() {
            client.ping();
        }
    }
}

impl Server {
    fn enter(&self, client: &Arc<Client>) {
        let (place, mut clients) = (client.descriptor(), lock(&self.clients));
        if clients.len() <= place {
            clients.resize(place + 1, None);
        }
        clients[place] = Some(client.clone());
    }

    fn leave(&self, client: &Client) {
        lock(&self.clients)[client.descriptor()] = None;
    }

    /// `rest` is what came behind the handshake.
    async fn talk(&self, client: &Arc<Client>, mut rest: Vec<u8>) -> io::Result<()> {
        if !rest.is_empty() {
            SCRATCH_BUFFERS.with_borrow_mut(|scratch| self.take(client, &mut rest, &mut [], &mut scratch.output))?;
        }
        loop {
            readable(&client.stream).await?;
            // Everything between two waits is in here: nothing of it is part of the task.
            let all_sent = SCRATCH_BUFFERS.with_borrow_mut(|scratch| self.turn(client, &mut rest, scratch))?;
            if !all_sent {
                // Seldom, so not in every task's memory.
                Box::pin(client.flush()).await?;
            }
        }
    }

    /// Reads once, and answers all that is whole. Says whether all answers are sent.
    fn turn(&self, client: &Arc<Client>, rest: &mut Vec<u8>, scratch: &mut Scratch) -> io::Result<bool> {
        match client.stream.try_read(&mut scratch.input) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.take(client, rest, &mut scratch.input[..length], &mut scratch.output),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Takes in what was read; `rest` is what came before it and was not whole.
    fn take(
        &self,
        client: &Arc<Client>,
        rest: &mut Vec<u8>,
        read: &mut [u8],
        output: &mut Vec<u8>,
    ) -> io::Result<bool> {
        output.clear();
        if rest.is_empty() {
            let taken = self.answer(client, read, output)?;
            rest.extend_from_slice(&read[taken..]);
        } else {
            rest.extend_from_slice(read);
            let taken = self.answer(client, rest, output)?;
            rest.drain(..taken);
        }
        if rest.is_empty() {
            // What a large message took is given back.
            *rest = Vec::new();
        }
        if output.is_empty() { Ok(true) } else { client.send(output) }
    }

    /// Puts answers to all whole frames into `output`, and says how many bytes the frames are.
    fn answer(&self, client: &Arc<Client>, bytes: &mut [u8], output: &mut Vec<u8>) -> io::Result<usize> {
        let mut taken = 0;
        while let Some((first, payload, length)) = frames::next(&mut bytes[taken..])? {
            taken += length;
            match first {
                frames::FINAL_TEXT => match self.text(payload, output)? {
                    For::Sender => {}
                    For::Everybody => self.broadcast(payload),
                },
                frames::FINAL_PING => frames::encode(frames::FINAL_PONG, payload, output),
                frames::FINAL_PONG => client.unanswered.store(0, Relaxed),
                frames::FINAL_CLOSE => {
                    frames::encode(frames::FINAL_CLOSE, payload, output);
                    let _ = client.send(output);
                    return Err(ErrorKind::ConnectionAborted.into());
                }
                _ => return Err(ErrorKind::InvalidData.into()),
            }
        }
        Ok(taken)
    }

    fn text(&self, payload: &[u8], output: &mut Vec<u8>) -> io::Result<For> {
        if payload.first() == Some(&BROADCAST) {
            return Ok(For::Everybody);
        }
        if self.options.json {
            let text = std::str::from_utf8(payload).map_err(|_| ErrorKind::InvalidData)?;
            frames::encode(frames::FINAL_TEXT, rpc(text).as_bytes(), output);
        } else {
            frames::encode(frames::FINAL_TEXT, payload, output);
        }
        Ok(For::Sender)
    }

    fn broadcast(&self, payload: &[u8]) {
        let mut frame = Vec::with_capacity(frames::LONGEST_HEADER + payload.len());
        frames::encode(frames::FINAL_TEXT, payload, &mut frame);
        for client in lock(&self.clients).iter().flatten() {
            // One that is broken finds out by itself.
            let _ = client.send(&frame);
        }
    }
}

/// As the stream's own, which takes more memory and serves several tasks: there is only one here.
async fn readable(stream: &TcpStream) -> io::Result<()> {
    poll_fn(|context| stream.poll_read_ready(context)).await
}

/// No panic leaves what these locks guard half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
