//! The message that each held connection has echoed first: it shows a buffer that the server doesn't release.

use crate::connection::Handler;
use crate::connections::{Connections, MAX_SLEEP};
use crate::failure::Failure;
use crate::options::Options;
use crate::payload::{Batch, FIRST_ID, Reassembly};
use crate::peer::Peer;
use crate::watchdog::Watchdog;
use test_support::frames::Chunk;

/// Connections that wait for their message at once.
const IN_FLIGHT: usize = 8;

/// Has a message of this size echoed on each connection, and waits for all.
pub fn exchange(connections: &mut Connections, options: &Options, size: usize) -> Result<(), Failure> {
    let mut first = FirstMessage { batch: Batch::of_texts(1, size), reassemblies: Vec::new(), done: 0 };
    let mut watchdog = Watchdog::new(options.timeout);
    while first.done < options.connections {
        while first.reassemblies.len() < options.connections && first.reassemblies.len() - first.done < IN_FLIGHT {
            let mut peer = connections.peer(first.reassemblies.len())?;
            first.reassemblies.push(Reassembly::default());
            peer.send(first.batch.frames(FIRST_ID))?;
        }
        connections.step(MAX_SLEEP, &mut first)?;
        watchdog.check(connections.counts.bytes, || format!("the message of connection {}", first.done))?;
    }
    Ok(())
}

struct FirstMessage {
    batch: Batch,
    /// Of the connections that have sent their message.
    reassemblies: Vec<Reassembly>,
    done: usize,
}

impl Handler for FirstMessage {
    fn message(&mut self, peer: &mut Peer<'_>, chunk: Chunk<'_>) -> Result<(), Failure> {
        let id = peer.id;
        let Some(reassembly) = self.reassemblies.get_mut(id) else {
            return Err(Failure::Run(format!("connection {id}: an unexpected message")));
        };
        if let Some(reply) = reassembly.add(chunk) {
            let checked = self.batch.check(&reply, FIRST_ID, true);
            checked.map_err(|failure| Failure::run(format!("connection {id}"), failure))?;
            self.done += 1;
        }
        Ok(())
    }
}
