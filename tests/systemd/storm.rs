//! Clients that connect at a constant rate, whatever becomes of the earlier ones, and report how each ended. They run as a
//! process of their own, in the network of a booted machine.

use crate::common::http::{GET_WS, handshake_request};
use crate::machine::Machine;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Stdio};
use std::time::Duration;
use test_support::frames::{CLOSE, FIN, client_frame, parse_server_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// New connections in a second.
const RATE: u32 = 1000;
/// How long a client waits for the gateway.
const PATIENCE: Duration = Duration::from_secs(40);

/// A storm that is running. Ended when dropped.
pub struct Storm(Option<Child>);

impl Drop for Storm {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How the clients of a storm ended: their numbers.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Ends {
    /// Those that closed the connection by themselves, and got a close frame in return.
    pub done: u32,
    /// Those that the gateway closed with 1012.
    pub drained: u32,
    /// Those that weren't connected, or ended without a close frame, by cause.
    pub lost: BTreeMap<String, u32>,
}

impl Storm {
    /// Connects clients to port 8080 of a machine for this number of seconds. Each stays connected for `lifetime`, unless the
    /// gateway closes it.
    pub fn start(machine: &Machine, seconds: u32, lifetime: Duration) -> Storm {
        let program = std::env::current_exe().unwrap();
        let mut command = machine.in_network(&program);
        command.args(["--ignored", "--exact", "storm::process_of_clients", "--nocapture"]);
        command.env("STORM_SECONDS", seconds.to_string()).env("STORM_LIFETIME", lifetime.as_millis().to_string());
        Storm(Some(command.stdout(Stdio::piped()).spawn().unwrap()))
    }

    /// Waits for all clients.
    pub fn finish(mut self) -> Ends {
        let output = self.0.take().expect("it is running").wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let report = text.lines().find_map(|line| line.split_once("ends: ")).unwrap_or_else(|| panic!("{text}"));
        serde_json::from_str(report.1).unwrap()
    }
}

enum End {
    Done,
    Drained,
}

#[test]
#[ignore = "the process of a storm's clients"]
fn process_of_clients() {
    let setting = |name| std::env::var(name).expect("started by a test").parse::<u32>().unwrap();
    let (count, lifetime) = (RATE * setting("STORM_SECONDS"), Duration::from_millis(setting("STORM_LIFETIME").into()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ends = runtime.block_on(async move {
        let start = Instant::now();
        let mut clients = Vec::new();
        for index in 0..count {
            sleep_until(start + Duration::from_secs(1) * index / RATE).await;
            clients.push(tokio::spawn(timeout(PATIENCE, run_client(lifetime))));
        }
        let mut ends = Ends::default();
        for client in clients {
            match client.await.unwrap().unwrap_or_else(|_| Err("timed out".to_owned())) {
                Ok(End::Done) => ends.done += 1,
                Ok(End::Drained) => ends.drained += 1,
                Err(cause) => *ends.lost.entry(cause).or_default() += 1,
            }
        }
        ends
    });
    println!("ends: {}", serde_json::to_string(&ends).unwrap());
}

async fn run_client(lifetime: Duration) -> Result<End, String> {
    let stream = connect().await.map_err(|error| format!("before the 101: {error}"))?;
    stay(stream, lifetime).await.map_err(|error| format!("after the 101: {error}"))
}

async fn connect() -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect("127.0.0.1:8080").await?;
    stream.write_all(handshake_request(GET_WS, "", "").as_bytes()).await?;
    let mut buffer = Vec::new();
    while !buffer.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await?;
        buffer.push(byte);
    }
    if !buffer.starts_with(b"HTTP/1.1 101 ") {
        return Err(io::Error::other(String::from_utf8_lossy(&buffer).lines().next().unwrap_or_default()));
    }
    Ok(stream)
}

async fn stay(mut stream: TcpStream, lifetime: Duration) -> io::Result<End> {
    let mut buffer = Vec::new();
    let deadline = Instant::now() + lifetime;
    if let Ok(closed) = timeout_at(deadline, read_close(&mut stream, &mut buffer)).await {
        let code = closed?;
        stream.write_all(&client_frame(FIN | CLOSE, &code.to_be_bytes())).await?;
        return if code == 1012 { Ok(End::Drained) } else { Err(io::Error::other(format!("closed with {code}"))) };
    }
    stream.write_all(&client_frame(FIN | CLOSE, &1000_u16.to_be_bytes())).await?;
    // The drain may have begun at the same moment.
    match read_close(&mut stream, &mut buffer).await? {
        1000 => Ok(End::Done),
        1012 => Ok(End::Drained),
        code => Err(io::Error::other(format!("closed with {code}"))),
    }
}

/// Reads up to a close frame. Returns its code.
async fn read_close(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<u16> {
    loop {
        while let Some(frame) = parse_server_frame(buffer).expect("a valid frame") {
            if frame.first == FIN | CLOSE {
                return Ok(u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
            }
            let len = frame.len;
            buffer.drain(..len);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::Error::other("the end of the stream"));
        }
    }
}
