//! Connections themselves.

use super::{Attack, Group, Leave, Script};
use crate::gateway::{Credential, MAX_CONNECTIONS};
use std::time::Duration;
use test_support::frames::{CLOSE, FIN, client_frame};

/// Connections that are opened and closed at the same time.
const BOMBS: usize = 64;

pub fn all() -> Vec<Attack> {
    let close = client_frame(FIN | CLOSE, &1000_u16.to_be_bytes());
    let bomb = |once: &[u8]| Script { leave: Leave::AfterOnce, pause: Duration::ZERO, ..Script::hold(once) };
    let plain = |name, once: &[u8]| Attack::new(name, [Group::websocket(BOMBS, Credential::Plain, bomb(once))]);
    let refused = Script { pause: Duration::ZERO, ..Script::hold(&[]) };
    vec![
        plain("connect, handshake, close", &close),
        plain("connect, handshake, gone", &[]),
        Attack::new("handshakes without credential", [Group::websocket(BOMBS, Credential::None, refused)]),
        Attack::new("connect, gone", [Group::tcp(BOMBS, bomb(&[]))]),
        Attack::new("2,000 silent at ops.listen", [Group::ops(2000, Script::hold(&[]))]),
        Attack::new("silent up to max_connections", [Group::tcp(MAX_CONNECTIONS, Script::hold(&[]))]),
    ]
}
