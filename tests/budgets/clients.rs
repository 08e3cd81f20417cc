//! Clients of the counted process, blocking.

use crate::common::TIMEOUT;
use crate::common::frames::{FIN, PING, PONG, RawClient, TEXT, frame};
use crate::serve::{BROADCAST, TOKEN};
use crate::server::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

/// Clients with a thread for each part of them.
const THREADS: usize = 8;

/// A connection that says nothing.
pub fn connect_silent(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr).expect("a connection; `ulimit -n` must allow 1,100 of them");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a TCP socket");
    stream.set_write_timeout(Some(TIMEOUT)).expect("a TCP socket");
    stream
}

/// A client.
pub fn connect(server: &Server) -> RawClient {
    connect_as(server, TOKEN)
}

/// A client that shows this token.
pub fn connect_as(server: &Server, token: &str) -> RawClient {
    let mut stream = connect_silent(server);
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("an open connection");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole response");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    RawClient(stream)
}

/// So many clients, all of them registered.
pub fn connect_all(server: &mut Server, count: usize) -> Vec<RawClient> {
    let clients = (0..count).map(|_| connect(server)).collect();
    server.stock_when("/clients/total_connections", count);
    clients
}

/// Each sends a message of so many bytes and has it back, again and again; one is under way at a time.
pub fn echo(clients: &mut [RawClient], bytes: usize, times: usize) {
    let message = vec![b'x'; bytes];
    let sent = client_frame(FIN | TEXT, &message);
    for _ in 0..times {
        for client in &mut *clients {
            client.send(&sent);
            assert_eq!(client.receive(), Some((FIN | TEXT, message.clone())));
        }
    }
}

/// The same, some of them at the same time.
pub fn echo_together(clients: &mut [RawClient], bytes: usize) {
    let part = clients.len().div_ceil(THREADS);
    thread::scope(|scope| {
        clients.chunks_mut(part).for_each(|part| {
            scope.spawn(move || echo(part, bytes, 1));
        });
    });
}

/// Each sends a message before any has its answer.
pub fn echo_at_once(clients: &mut [RawClient], bytes: usize, times: usize) {
    let message = vec![b'x'; bytes];
    let sent = client_frame(FIN | TEXT, &message);
    for _ in 0..times {
        clients.iter_mut().for_each(|client| client.send(&sent));
        for client in &mut *clients {
            assert_eq!(client.receive(), Some((FIN | TEXT, message.clone())));
        }
    }
}

/// Sends so many messages in one write, and has them back, again and again.
pub fn echo_pipelined(client: &mut RawClient, bytes: usize, messages: usize, times: usize) {
    let message = vec![b'x'; bytes];
    let sent = client_frame(FIN | TEXT, &message).repeat(messages);
    for _ in 0..times {
        client.send(&sent);
        for _ in 0..messages {
            assert_eq!(client.receive(), Some((FIN | TEXT, message.clone())));
        }
    }
}

/// The first sends a message to all, again and again; the next when all have it.
pub fn broadcast(clients: &mut [RawClient], bytes: usize, times: usize) {
    let message = vec![BROADCAST; bytes];
    let sent = client_frame(FIN | TEXT, &message);
    for _ in 0..times {
        clients[0].send(&sent);
        for client in &mut *clients {
            assert_eq!(client.receive(), Some((FIN | TEXT, message.clone())));
        }
    }
}

/// Each answers the next so many pings, whenever they come.
pub fn answer_pings(clients: &mut [RawClient], count: usize) {
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(move || {
                for _ in 0..count {
                    let (first, payload) = client.receive_any().expect("a ping");
                    assert_eq!(first, FIN | PING);
                    client.send(&client_frame(FIN | PONG, &payload));
                }
            });
        }
    });
}
