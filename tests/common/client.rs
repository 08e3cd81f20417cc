//! A blocking WebSocket client that uses a WebSocket library.

use serde_json::Value;
use std::net::TcpStream;
use tungstenite::{Message, WebSocket};

pub struct Client {
    pub socket: WebSocket<TcpStream>,
}

impl Client {
    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("an open connection");
    }

    /// The next text message. Answers pings while it waits.
    pub fn receive(&mut self) -> String {
        loop {
            match self.socket.read().expect("an open connection") {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not a text message: {other:?}"),
            }
        }
    }

    /// Calls a method without params. Returns the whole response.
    pub fn call(&mut self, method: &str) -> Value {
        self.send(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#));
        serde_json::from_str(&self.receive()).expect("JSON")
    }

    /// Reads until the gateway closes the connection. Returns the close frame's code and reason.
    pub fn wait_for_close(&mut self) -> (u16, String) {
        loop {
            match self.socket.read().expect("a close frame") {
                Message::Close(Some(frame)) => {
                    // Sends our close frame and waits for the end of the stream.
                    while self.socket.read().is_ok() {}
                    return (frame.code.into(), frame.reason.to_string());
                }
                Message::Close(None) => panic!("a close frame without a code"),
                _ => {}
            }
        }
    }

    /// Closes the connection normally and waits for its end.
    pub fn close(&mut self) {
        self.socket.close(None).expect("an open connection");
        while self.socket.read().is_ok() {}
    }
}
