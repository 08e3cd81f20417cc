//! Blocking clients of the measured server.

use crate::common::TIMEOUT;
use crate::common::raw_client::RawClient;
use crate::echo_handler::BROADCAST;
use crate::serve::TOKEN;
use crate::server::Server;
use std::net::TcpStream;
use std::thread;
use test_support::frames::{FIN, PING, PONG, TEXT, client_frame};

/// Threads that share the clients of [`echo_concurrently`].
const THREADS: usize = 8;

/// A connection without a request.
pub fn connect_silent(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr).expect("a connection; the hard limit must allow 1,100 descriptors");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.set_write_timeout(Some(TIMEOUT)).expect("a TCP socket");
    stream
}

/// A client with the operator's token.
pub fn connect(server: &Server) -> RawClient {
    connect_with(server, TOKEN)
}

/// A client with this token.
pub fn connect_with(server: &Server, token: &str) -> RawClient {
    RawClient::upgrade(connect_silent(server), &format!("Authorization: Bearer {token}"))
}

/// Connects `count` clients and waits until they are registered.
pub fn connect_all(server: &mut Server, count: usize) -> Vec<RawClient> {
    let clients = (0..count).map(|_| connect(server)).collect();
    server.snapshot_when("/clients/total_connections", count);
    clients
}

fn message(bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let payload = vec![b'x'; bytes];
    (client_frame(FIN | TEXT, &payload), payload)
}

fn assert_receives(client: &mut RawClient, payload: &[u8]) {
    let (first, received) = client.receive().expect("an open connection");
    assert!(first == FIN | TEXT && received == payload, "{first:#x} {received:?}");
}

/// Each client sends a message of this size and receives it, one client after the other, `rounds` times.
pub fn echo(clients: &mut [RawClient], bytes: usize, rounds: usize) {
    let (frame, payload) = message(bytes);
    for _ in 0..rounds {
        for client in &mut *clients {
            client.send(&frame);
            assert_receives(client, &payload);
        }
    }
}

/// One round of [`echo`], several clients at the same time.
pub fn echo_concurrently(clients: &mut [RawClient], bytes: usize) {
    let share = clients.len().div_ceil(THREADS);
    thread::scope(|scope| {
        clients.chunks_mut(share).for_each(|share| {
            scope.spawn(move || echo(share, bytes, 1));
        });
    });
}

/// All clients send a message before the first one receives it, `rounds` times.
pub fn echo_interleaved(clients: &mut [RawClient], bytes: usize, rounds: usize) {
    let (frame, payload) = message(bytes);
    for _ in 0..rounds {
        clients.iter_mut().for_each(|client| client.send(&frame));
        clients.iter_mut().for_each(|client| assert_receives(client, &payload));
    }
}

/// Sends `count` messages in one write and receives them, `rounds` times.
pub fn echo_pipelined(client: &mut RawClient, bytes: usize, count: usize, rounds: usize) {
    let (frame, payload) = message(bytes);
    let frames = frame.repeat(count);
    for _ in 0..rounds {
        client.send(&frames);
        (0..count).for_each(|_| assert_receives(client, &payload));
    }
}

/// The first client sends a message to all and waits until all have received it, `rounds` times.
pub fn broadcast(clients: &mut [RawClient], bytes: usize, rounds: usize) {
    let payload = vec![BROADCAST; bytes];
    let frame = client_frame(FIN | TEXT, &payload);
    for _ in 0..rounds {
        clients[0].send(&frame);
        clients.iter_mut().for_each(|client| assert_receives(client, &payload));
    }
}

/// Each client waits for its next `count` pings and answers them.
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
