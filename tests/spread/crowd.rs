//! Clients in this process: the bytes of handshake, pong and close, and a crowd of connections that answer pings.

use crate::gateway::TOKEN;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections that are opened at once.
const OPENING: usize = 256;
/// For one connection to open or close.
const PATIENCE: Duration = Duration::from_secs(20);
/// Source addresses, so that ephemeral ports don't run out.
const SOURCES: usize = 64;

/// The sample of RFC 6455, section 1.3: no client of a benchmark needs a nonce.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const MASK: [u8; 4] = [0x1f, 0x2e, 0x3d, 0x4c];
const FINAL_CLOSE: u8 = 0x88;
const FINAL_PING: u8 = 0x89;
const FINAL_PONG: u8 = 0x8a;
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

/// A runtime for clients: one thread, so that most of the machine is left to what is measured.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Open, authenticated connections whose pings are answered. Dropping it closes them without a word.
pub struct Crowd {
    _runtime: Runtime,
    ended: Arc<AtomicUsize>,
}

impl Crowd {
    /// Opens so many.
    pub fn connect(addr: SocketAddr, count: usize) -> Crowd {
        let (runtime, ended) = (runtime(), Arc::new(AtomicUsize::new(0)));
        runtime.block_on(async {
            let places = Arc::new(Semaphore::new(OPENING));
            let mut opening = JoinSet::new();
            for number in 0..count {
                let place = places.clone().acquire_owned().await.expect("an open semaphore");
                let ended = ended.clone();
                opening.spawn(async move {
                    let client = open(addr, number).await.unwrap_or_else(|error| panic!("client {number}: {error}"));
                    drop(place);
                    tokio::spawn(client.answer_pings(ended));
                });
            }
            while let Some(opened) = opening.join_next().await {
                opened.expect("every client opens");
            }
        });
        Crowd { _runtime: runtime, ended }
    }

    /// How many of them the gateway has ended.
    pub fn ended(&self) -> usize {
        self.ended.load(Relaxed)
    }
}

/// One open connection, with what has come on it and was not handled yet.
pub struct Client {
    stream: TcpStream,
    buffer: [u8; 512],
    length: usize,
}

/// Opens one connection up to the 101.
pub async fn open(addr: SocketAddr, number: usize) -> io::Result<Client> {
    timeout(PATIENCE, handshake(addr, number)).await?
}

async fn handshake(addr: SocketAddr, number: usize) -> io::Result<Client> {
    let socket = TcpSocket::new_v4()?;
    let source = Ipv4Addr::new(127, 0, 0, 2 + (number % SOURCES) as u8);
    socket.bind((source, 0).into())?;
    let mut stream = socket.connect(addr).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut client = Client { stream, buffer: [0; 512], length: 0 };
    let end = client.read_head().await?;
    let head = String::from_utf8_lossy(&client.buffer[..end]);
    if !head.starts_with("HTTP/1.1 101 ") || !head.contains(ACCEPT) {
        return Err(io::Error::other(format!("no 101: {head}")));
    }
    client.forget(end);
    Ok(client)
}

impl Client {
    /// Reads until the head of the answer is there, and returns its length. A ping may have come with it.
    async fn read_head(&mut self) -> io::Result<usize> {
        loop {
            if let Some(start) = self.buffer[..self.length].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return Ok(start + 4);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read(&mut self.buffer[self.length..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.length += read;
                Ok(())
            }
        }
    }

    fn forget(&mut self, handled: usize) {
        self.buffer.copy_within(handled..self.length, 0);
        self.length -= handled;
    }

    /// Closes by the book: our close frame, the answer, the end of the stream.
    pub async fn close(mut self) -> io::Result<()> {
        self.stream.write_all(&masked(FINAL_CLOSE, &NORMAL)).await?;
        let mut answer = self.buffer[..self.length].to_vec();
        timeout(PATIENCE, self.stream.read_to_end(&mut answer)).await??;
        // A ping may have come just before.
        if answer.ends_with(&[FINAL_CLOSE, 2, NORMAL[0], NORMAL[1]]) {
            return Ok(());
        }
        Err(io::Error::other(format!("no close frame: {answer:?}")))
    }

    /// Answers pings until the gateway ends the connection.
    async fn answer_pings(mut self, ended: Arc<AtomicUsize>) {
        loop {
            let (answers, handled) = answers_to(&self.buffer[..self.length]);
            self.forget(handled);
            if !answers.is_empty() && self.stream.write_all(&answers).await.is_err() {
                break;
            }
            if self.read().await.is_err() {
                break;
            }
        }
        ended.fetch_add(1, Relaxed);
    }
}

/// Pongs for all whole frames among these bytes, and how many bytes those frames are. Only pings are expected.
fn answers_to(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut answers, mut taken) = (Vec::new(), 0);
    while let [first, length, rest @ ..] = &bytes[taken..] {
        // A server's frame isn't masked, and a control frame's length is in this byte.
        let Some(payload) = rest.get(..usize::from(*length)) else { break };
        if *first == FINAL_PING {
            answers.extend(masked(FINAL_PONG, payload));
        }
        taken += 2 + payload.len();
    }
    (answers, taken)
}

/// A client's control frame.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | payload.len() as u8];
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
