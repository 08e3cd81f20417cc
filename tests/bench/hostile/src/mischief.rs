//! Random misbehaviour: each connection that is opened does something else, and ends in another way. The choices depend
//! on the seed only.

use crate::attackers::plan::{Ending, Plan};
use crate::attacks::{self, Opening, Reading, Script, violations};
use crate::gateway::{Addresses, Credential};
use fastrand::Rng;
use std::rc::Rc;
use std::time::Duration;
use test_support::frames::client_frame;

/// Connections that misbehave at a time.
pub const CONNECTIONS: usize = 200;
/// The longest life of a connection, and the longest pause before the next one.
const LIFE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(300);
/// The most random bytes of a connection.
const RANDOM_BYTES: usize = 10_000;

/// What connections are chosen from.
pub struct Mischief {
    /// One generator for each connection: what one does isn't changed by how fast another one is.
    generators: Vec<Rng>,
    /// One for each group of each attack.
    attacks: Vec<Plan>,
    violations: Vec<Vec<u8>>,
    addresses: Addresses,
}

impl Mischief {
    pub fn new(seed: u64, addresses: Addresses) -> Mischief {
        let mut seeds = Rng::with_seed(seed);
        let groups: Vec<_> = attacks::all().into_iter().flat_map(|attack| attack.groups).collect();
        Mischief {
            generators: (0..CONNECTIONS).map(|_| seeds.fork()).collect(),
            attacks: groups.iter().map(|group| Plan::of_group(group, addresses)).collect(),
            violations: violations::all(),
            addresses,
        }
    }

    /// What the connection in this place does next.
    pub fn next(&mut self, id: usize) -> Rc<Plan> {
        let mut random = self.generators[id].clone();
        // Weights: how many of 100 connections do what.
        let plan = match random.u8(0..100) {
            0..45 => self.attack(&mut random),
            45..65 => self.violation(&mut random),
            65..75 => self.random_frames(&mut random),
            75..85 => self.broken_request(&mut random),
            85..90 => self.plan(None, script(bytes(&mut random))),
            _ => self.plan(Some(Credential::Plain), script(attacks::echo())),
        };
        let life = LIFE.mul_f64(random.f64() * random.f64());
        let endings = [Ending::Close, Ending::Reset, Ending::HalfClose, Ending::CloseFrame];
        let ending = endings[random.usize(0..endings.len())];
        self.generators[id] = random;
        Rc::new(Plan { end: Some((life, ending)), ..plan })
    }

    /// A connection of an attack, that perhaps reads in another way.
    fn attack(&self, random: &mut Rng) -> Plan {
        let plan = self.attacks[random.usize(0..self.attacks.len())].clone();
        let reading = match random.u8(0..8) {
            0 => Reading::Nothing,
            1 => Reading::Slow,
            _ => return plan,
        };
        Plan { script: Rc::new(Script { reading, ..(*plan.script).clone() }), ..plan }
    }

    /// Some requests, and an invalid frame.
    fn violation(&self, random: &mut Rng) -> Plan {
        let violation = &self.violations[random.usize(0..self.violations.len())];
        let echoes = attacks::echo().repeat(random.usize(0..20));
        self.plan(Some(Credential::Plain), script([&echoes, &violation[..]].concat()))
    }

    /// Frames with random first bytes, lengths and payloads; sometimes only bytes.
    fn random_frames(&self, random: &mut Rng) -> Plan {
        let mut once = bytes(random);
        if random.bool() {
            once = once.chunks(200).flat_map(|payload| client_frame(random.u8(..), payload)).collect();
        }
        self.plan(Some(Credential::Plain), script(once))
    }

    /// A handshake of which bytes are changed or missing.
    fn broken_request(&self, random: &mut Rng) -> Plan {
        let mut request = Credential::Plain.request(self.addresses.clients);
        for _ in 0..random.usize(1..5) {
            let at = random.usize(0..request.len());
            request[at] = random.u8(..);
        }
        if random.bool() {
            request.truncate(random.usize(0..request.len()));
        }
        self.plan(None, script(request))
    }

    fn plan(&self, credential: Option<Credential>, mut script: Script) -> Plan {
        let opening = credential.map_or(Opening::Tcp, Opening::WebSocket);
        script.pause = PAUSE;
        let group = attacks::Group { connections: 1, opening, script };
        Plan::of_group(&group, self.addresses)
    }
}

fn script(once: Vec<u8>) -> Script {
    Script { once, ..Script::default() }
}

fn bytes(random: &mut Rng) -> Vec<u8> {
    let count = random.usize(1..RANDOM_BYTES);
    (0..count).map(|_| random.u8(..)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddrV4;

    #[test]
    fn equal_seeds_choose_equally() {
        let addr = SocketAddrV4::new([127, 0, 0, 1].into(), 1);
        let addresses = Addresses { clients: addr, ops: addr };
        let choices = |seed| {
            let mut mischief = Mischief::new(seed, addresses);
            // Connections take their turns in any order.
            let order: [usize; 6] = if seed == 1 { [7, 3, 7, 3, 3, 7] } else { [3, 3, 3, 7, 7, 7] };
            let mut plans: Vec<_> = order.iter().map(|id| (*id, mischief.next(*id))).collect();
            plans.sort_by_key(|(id, _)| *id);
            let ends: Vec<_> = plans.iter().map(|(_, plan)| (plan.script.once.clone(), plan.end)).collect();
            ends
        };
        assert!(choices(1) == choices(1));
        assert!(choices(1) != choices(2));
    }
}
