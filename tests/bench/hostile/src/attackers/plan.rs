//! What one connection does from its start to its end.

use crate::attacks::{Attack, Group, Opening, Script};
use crate::gateway::Addresses;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::Duration;

/// The plan of one connection.
#[derive(Clone)]
pub struct Plan {
    /// Where it connects.
    pub addr: SocketAddrV4,
    /// The handshake; `None` for plain TCP.
    pub request: Option<Vec<u8>>,
    /// What it does once it is open.
    pub script: Rc<Script>,
    /// When and how it ends by itself, counted from its start.
    pub end: Option<(Duration, Ending)>,
}

/// How an attacker ends its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// It closes the socket: with unread bytes in it, that is a reset.
    Close,
    /// It resets the connection.
    Reset,
    /// It ends its own half, and goes on reading for a while.
    HalfClose,
    /// It sends a close frame, wherever in its bytes it is, and goes on reading for a while.
    CloseFrame,
}

impl Plan {
    /// The plan of each connection of this attack.
    pub fn of_attack(attack: &Attack, addresses: Addresses) -> Vec<Rc<Plan>> {
        let plans = attack.groups.iter().map(|group| (Rc::new(Plan::of_group(group, addresses)), group.connections));
        plans.flat_map(|(plan, connections)| vec![plan; connections]).collect()
    }

    /// The plan of a connection of this group.
    pub fn of_group(group: &Group, addresses: Addresses) -> Plan {
        let Addresses { clients, ops } = addresses;
        let (addr, request) = match group.opening {
            Opening::Tcp => (clients, None),
            Opening::Ops => (ops, None),
            Opening::WebSocket(credential) => (clients, Some(credential.request(clients))),
        };
        Plan { addr, request, script: Rc::new(group.script.clone()), end: None }
    }
}
