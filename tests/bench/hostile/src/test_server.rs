//! A small blocking server for the tests, with a thread for each connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use test_support::frames::{FIN, TEXT, parse_client_frame, server_frame};

/// Accepts connections until the test process ends, and calls `serve` for each.
pub fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, stream) = (serve.clone(), stream.expect("a connection"));
            thread::spawn(move || serve(stream));
        }
    });
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// Reads a request's head and returns it.
pub fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Reads the handshake's request and answers it with a 101.
pub fn upgrade(stream: &mut TcpStream) -> Option<()> {
    read_head(stream)?;
    let response = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(response).ok()
}

/// Calls `answer` with each text until the end of the stream, and sends the texts that it returns.
pub fn serve(stream: &mut TcpStream, mut answer: impl FnMut(String) -> Vec<String>) -> Option<()> {
    let (mut unread, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        while let Some(frame) = parse_client_frame(&mut unread).expect("a valid frame") {
            let (text, length) = (String::from_utf8_lossy(frame.payload).into_owned(), frame.len);
            unread.drain(..length);
            for text in answer(text) {
                stream.write_all(&server_frame(FIN | TEXT, text.as_bytes())).ok()?;
            }
        }
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => unread.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    }
}
