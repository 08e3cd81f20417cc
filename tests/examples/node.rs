//! A node: announces its method, answers calls, and reconnects.

use serde_json::{Value, json};
use std::{env, fs, thread, time::Duration};
use tungstenite::{ClientRequestBuilder, Message, connect};

fn answer(request: &Value) -> (&str, Value) {
    match request["method"].as_str() {
        Some("light.set") => ("result", json!({"on": request["params"]["on"]})),
        _ => ("error", json!({"code": -32601, "message": "Method not found"})),
    }
}

/// Serves one connection until it ends; returns the gateway's close code.
fn serve(url: &str, token: &str) -> tungstenite::Result<u16> {
    let request = ClientRequestBuilder::new(url.parse()?).with_header("Authorization", format!("Bearer {token}"));
    let (mut socket, _) = connect(request)?;
    let announce = json!({"capabilities": [{"service": "light", "methods": ["light.set"]}]});
    let announce = json!({"jsonrpc": "2.0", "id": 1, "method": "node.announce", "params": announce});
    socket.send(Message::text(announce.to_string()))?;
    loop {
        let message = socket.read()?;
        if let Message::Close(frame) = message {
            while socket.read().is_ok() {} // completes the close handshake
            return Ok(frame.map_or(1005, |frame| frame.code.into()));
        }
        let Ok(request) = serde_json::from_slice::<Value>(&message.into_data()) else { continue };
        if request.get("method").is_some() && request.get("id").is_some() {
            let (member, value) = answer(&request);
            let response = json!({"jsonrpc": "2.0", "id": request["id"], member: value});
            socket.send(Message::text(response.to_string()))?;
        }
    }
}

fn main() {
    let [url, token_file] = [1, 2].map(|index| env::args().nth(index).expect("arguments: URL TOKEN_FILE"));
    let token = fs::read_to_string(token_file).expect("a readable file with the token");
    let mut pause = 1;
    loop {
        let closed = serve(&url, token.trim());
        eprintln!("closed: {closed:?}");
        let is_refused = |status: u16| status == 401 || status == 403;
        match &closed {
            Ok(4000..4100) => break,
            Err(tungstenite::Error::Http(response)) if is_refused(response.status().as_u16()) => break,
            _ => {}
        }
        thread::sleep(Duration::from_secs(pause));
        pause = if closed.is_ok() { 1 } else { 60.min(pause * 2) };
    }
}
