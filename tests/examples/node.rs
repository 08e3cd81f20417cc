//! A node: announces its method, and answers calls until its connection is closed.
use serde_json::{Value, json};
use std::{env, error::Error, fs};
use tungstenite::{ClientRequestBuilder, Message, connect};

fn main() -> Result<(), Box<dyn Error>> {
    let [url, token_file] = [1, 2].map(|index| env::args().nth(index).expect("arguments: URL TOKEN_FILE"));
    let token = format!("Bearer {}", fs::read_to_string(token_file)?.trim());
    let (mut socket, _) = connect(ClientRequestBuilder::new(url.parse()?).with_header("Authorization", token))?;
    let announce = json!({"capabilities": [{"service": "light", "methods": ["light.set"]}]});
    let announce = json!({"jsonrpc": "2.0", "id": 1, "method": "node.announce", "params": announce});
    socket.send(Message::text(announce.to_string()))?;
    loop {
        let message = match socket.read()? {
            Message::Close(Some(frame)) if (4000..4100).contains(&u16::from(frame.code)) => return Ok(socket.flush()?),
            message => serde_json::from_slice::<Value>(&message.into_data()).unwrap_or_default(),
        };
        let (Some(method), Some(id)) = (message.get("method"), message.get("id")) else { continue };
        let response = match method.as_str() {
            Some("light.set") => json!({"jsonrpc": "2.0", "id": id, "result": message["params"]}),
            _ => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}}),
        };
        socket.send(Message::text(response.to_string()))?;
    }
}
