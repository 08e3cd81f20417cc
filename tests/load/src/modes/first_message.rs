//! Before connections idle, the server sends each a message: a buffer that it doesn't give back afterwards shows.

use crate::args::Options;
use crate::connection::Handler;
use crate::crowd::{Crowd, MOMENT};
use crate::failure::Failure;
use crate::frame::Part;
use crate::messages::{Answers, Batch, FIRST_ID};
use crate::patience::Patience;
use crate::peer::Peer;

/// Connections that are waiting for theirs at once.
const AT_ONCE: usize = 8;

/// Has each open connection ask for a message of so many bytes, by an echo, and waits for all.
pub fn exchange(crowd: &mut Crowd, options: &Options, size: usize) -> Result<(), Failure> {
    let mut first = FirstMessage { batch: Batch::new(1, size, options.rpc), answers: Vec::new(), done: 0 };
    let mut patience = Patience::new(options.patience);
    while first.done < options.connections {
        while first.answers.len() < options.connections && first.answers.len() - first.done < AT_ONCE {
            first.ask(crowd)?;
        }
        crowd.step(MOMENT, &mut first)?;
        patience.check(crowd.tally.bytes, || format!("the message for connection {}", first.done))?;
    }
    Ok(())
}

struct FirstMessage {
    batch: Batch,
    /// Of those that have asked, in the order of the connections.
    answers: Vec<Answers>,
    done: usize,
}

impl FirstMessage {
    fn ask(&mut self, crowd: &mut Crowd) -> Result<(), Failure> {
        let id = self.answers.len();
        let mut peer = crowd.peer(id).ok_or_else(|| Failure::Run(format!("connection {id} is lost")))?;
        let next_id = FIRST_ID + id as u64;
        self.answers.push(Answers::from_id(next_id));
        peer.send(self.batch.frames(next_id))
    }
}

impl Handler for FirstMessage {
    fn data(&mut self, peer: &mut Peer<'_>, part: Part<'_>) -> Result<(), Failure> {
        let id = peer.id;
        let Some(answers) = self.answers.get_mut(id) else {
            return Err(Failure::Run(format!("connection {id}: an answer to nothing")));
        };
        let whole = self.batch.check(answers, part);
        self.done += usize::from(whole.map_err(|failure| Failure::doing(&format!("connection {id}"), failure))?);
        Ok(())
    }
}
