//! Frames that complete no message, and control frames.

use super::{Attack, Group, MAX_MESSAGE, Script};
use crate::gateway::Credential;
use test_support::frames::{CONTINUATION, FIN, PING, PONG, TEXT, client_frame};

pub fn all() -> Vec<Attack> {
    let first = client_frame(TEXT, b"x");
    let long = [b'x'; 125];
    let endless =
        |name, payload: &[u8]| Attack::flood(name, Credential::Plain, &first, &client_frame(CONTINUATION, payload));
    let control = |name, opcode, payload: &[u8]| {
        Attack::flood(name, Credential::Plain, &[], &client_frame(FIN | opcode, payload))
    };
    // A ping between two fragments.
    let interleaved = [client_frame(CONTINUATION, b""), client_frame(FIN | PING, b"")].concat();
    // A message of 1,000 fragments.
    let fragments =
        [client_frame(TEXT, b""), client_frame(CONTINUATION, b"").repeat(998), client_frame(FIN | CONTINUATION, b"{}")];
    let unfinished = Script::hold(&client_frame(TEXT, &vec![b'x'; MAX_MESSAGE - 1]));
    vec![
        Attack::new("200 messages of 1 MiB without their end", [Group::websocket(200, Credential::Plain, unfinished)]),
        endless("endless empty fragments", b""),
        endless("endless fragments of 1 byte", b"x"),
        Attack::flood("endless empty fragments and pings", Credential::Plain, &first, &interleaved),
        Attack::flood("messages of 1,000 empty fragments", Credential::Plain, &[], &fragments.concat()),
        control("empty pings", PING, b""),
        control("pings of 125 bytes", PING, &long),
        control("empty pongs", PONG, b""),
        control("pongs of 125 bytes", PONG, &long),
    ]
}
