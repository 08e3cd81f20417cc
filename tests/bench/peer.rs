//! The peer: the least that a server by tokio-tungstenite can be, in a process of its own. It is this program, started
//! again.

use crate::process::Process;
use futures_util::{SinkExt, StreamExt};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use tokio::net::{TcpListener, TcpStream};

/// What makes this program the peer.
pub const ARGUMENT: &str = "--serve-as-peer";

/// A running peer.
pub struct Peer {
    process: Process,
    addr: SocketAddr,
}

impl Peer {
    /// Starts one on a free port.
    pub fn start() -> Peer {
        let program = std::env::current_exe().expect("the program's own path");
        let mut command = Command::new(program);
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = Process::start(&mut command);
        let stdout = process.with(|child| child.stdout.take()).expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line from the peer");
        let addr = line.trim().parse().expect("an address");
        Peer { process, addr }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// Is the peer: echoes until standard input ends, which it does with whoever started it.
pub fn serve() {
    thread::spawn(|| {
        // Nothing is ever written to it.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(echo(stream));
        }
    });
}

async fn echo(stream: TcpStream) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
