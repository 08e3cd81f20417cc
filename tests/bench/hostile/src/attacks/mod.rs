//! The attacks: what each connection of an attacker sends, and whether it reads.

mod connections;
mod events;
mod frames;
mod http;
mod requests;
pub mod violations;

use crate::gateway::Credential;
use std::time::Duration;

/// An attack: groups of connections that act at the same time.
pub struct Attack {
    /// What is done.
    pub name: String,
    /// Who does it.
    pub groups: Vec<Group>,
}

/// Connections that do the same.
pub struct Group {
    /// How many there are.
    pub connections: usize,
    /// How each begins.
    pub opening: Opening,
    /// What each does once it is open.
    pub script: Script,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Opening {
    /// With the handshake of a client with this credential.
    WebSocket(Credential),
    /// With nothing: the script has all bytes.
    Tcp,
    /// The same at the operators' address.
    Ops,
}

/// What a connection does. When it ends, it is opened again.
#[derive(Clone, Default)]
pub struct Script {
    /// Bytes that are sent once.
    pub once: Vec<u8>,
    /// Bytes that are then sent again and again, as fast as the gateway accepts them.
    pub repeat: Vec<u8>,
    /// Whether what arrives is read.
    pub reading: Reading,
    /// Sends the first byte of `repeat` again and again, with this pause.
    pub drip: Option<Duration>,
    /// Ends the connection by itself.
    pub leave: Leave,
    /// Pause before a connection that has ended is opened again.
    pub pause: Duration,
}

/// Whether an attacker reads what arrives, once its connection is open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Reading {
    /// At once.
    #[default]
    All,
    /// About a kilobyte a second.
    Slow,
    /// Not at all.
    Nothing,
}

/// When an attacker ends its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Leave {
    /// It doesn't.
    #[default]
    Never,
    /// When `once` is sent.
    AfterOnce,
}

/// The least pause before a connection that the gateway has ended is opened again: an attack that isn't about
/// handshakes must not become one.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections of most attacks.
const FEW: usize = 8;
/// Bytes that short messages are repeated to, so that each system call sends many of them.
const BLOCK: usize = 64 * 1024;
/// The longest message that the gateway accepts.
const MAX_MESSAGE: usize = 1024 * 1024;

/// All attacks, in the order in which they are measured.
pub fn all() -> Vec<Attack> {
    [requests::all(), frames::all(), events::all(), http::all(), connections::all()].into_iter().flatten().collect()
}

/// A request that anybody may make.
pub fn echo() -> Vec<u8> {
    requests::text(&requests::request("gateway.echo", r#"{"a":[1.50]}"#))
}

impl Attack {
    fn new(name: impl Into<String>, groups: impl IntoIterator<Item = Group>) -> Attack {
        Attack { name: name.into(), groups: groups.into_iter().collect() }
    }

    /// Eight WebSocket connections that send these bytes once, and then those again and again.
    fn flood(name: impl Into<String>, credential: Credential, once: &[u8], repeat: &[u8]) -> Attack {
        Attack::new(name, [Group::websocket(FEW, credential, Script::flood(once, repeat))])
    }
}

impl Group {
    fn websocket(connections: usize, credential: Credential, script: Script) -> Group {
        Group { connections, opening: Opening::WebSocket(credential), script }
    }

    fn ops(connections: usize, script: Script) -> Group {
        Group { connections, opening: Opening::Ops, script }
    }

    fn tcp(connections: usize, script: Script) -> Group {
        Group { connections, opening: Opening::Tcp, script }
    }
}

impl Script {
    /// Short `repeat` is multiplied, so that one write sends much of it.
    fn flood(once: &[u8], repeat: &[u8]) -> Script {
        let times = (BLOCK / repeat.len().max(1)).max(1);
        Script { once: once.to_vec(), repeat: repeat.repeat(times), pause: PAUSE, ..Script::default() }
    }

    /// Sends these bytes once, and then stays silent.
    fn hold(once: &[u8]) -> Script {
        Script { once: once.to_vec(), pause: PAUSE, ..Script::default() }
    }

    fn reading(self, reading: Reading) -> Script {
        Script { reading, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_attack_has_its_own_name_and_fits_into_the_limits() {
        let attacks = all();
        let names: HashSet<&str> = attacks.iter().map(|attack| attack.name.as_str()).collect();
        assert_eq!(names.len(), attacks.len());
        for attack in &attacks {
            let connections = attack.groups.iter().map(|group| group.connections).sum();
            assert!((1..=crate::gateway::MAX_CONNECTIONS).contains(&connections), "{}", attack.name);
        }
    }
}
