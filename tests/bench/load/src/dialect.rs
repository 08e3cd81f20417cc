//! The servers' dialects: what a connection sends to subscribe and to publish, and how what it receives is understood.

mod nats;

use crate::failure::Failure;
use crate::handshake::find;
use crate::options::{Dialect, Options};
use crate::payload::{excerpt, number_after, text};
use nats::NatsReader;
use test_support::frames::{BINARY, FIN, TEXT, client_frame};

/// The topic, subject or channel of all publications.
const TOPIC: &str = "figures";
/// First byte of a text that the server sends to all connections.
const BROADCAST: u8 = b'!';
/// Beginning of an event within which its `seq` is looked for.
const EVENT_HEAD: usize = 200;
/// How nchan's answer to a publication begins.
const NCHAN_ANSWER: &[u8] = b"queued messages";

/// What a connection received.
#[derive(Debug, PartialEq)]
pub enum Received<'a> {
    /// The answer to a subscription or a publication.
    Confirmation,
    Payload,
    /// A published payload in an event with this sequence number.
    Event(u64),
    /// The server expects this frame as an answer.
    Reply(&'a [u8]),
}

/// Subscribing and publishing in one dialect: the frames to send, and what is received.
pub struct PubSub {
    dialect: Dialect,
    payload: Vec<u8>,
    /// The frames of one publication of `--depth` messages, and of a single message.
    publication: Vec<u8>,
    depth: usize,
    nats: Vec<NatsReader>,
    /// Answers the server's PING.
    nats_pong: Vec<u8>,
}

impl PubSub {
    /// For `size` connections, none of which has received anything.
    pub fn new(options: &Options, size: usize) -> PubSub {
        let mut payload = text(options.size);
        if options.dialect == Dialect::Echo {
            payload[0] = BROADCAST;
        }
        let frame = match options.dialect {
            Dialect::Echo | Dialect::Nchan => client_frame(FIN | TEXT, &payload),
            Dialect::Rpc => client_frame(FIN | TEXT, rpc_publication(&payload).as_bytes()),
            Dialect::Nats => client_frame(FIN | BINARY, &nats::publication(TOPIC, &payload)),
        };
        PubSub {
            dialect: options.dialect,
            publication: frame.repeat(options.depth),
            depth: options.depth,
            payload,
            nats: (0..size).map(|_| NatsReader::default()).collect(),
            nats_pong: client_frame(FIN | BINARY, b"PONG\r\n"),
        }
    }

    /// What a subscriber sends after the handshake, if anything. The server answers it with one `Confirmation`.
    pub fn subscription(&self) -> Option<Vec<u8>> {
        match self.dialect {
            // A server may send the 101 before it registers the connection. It has done both once it echoes a text.
            Dialect::Echo => Some(client_frame(FIN | TEXT, b"?")),
            Dialect::Rpc => Some(client_frame(FIN | TEXT, RPC_SUBSCRIPTION)),
            Dialect::Nats => Some(client_frame(FIN | BINARY, &nats::greeting(Some(TOPIC)))),
            Dialect::Nchan => None,
        }
    }

    /// What the publisher sends after the handshake, if anything. It is answered in the same way.
    pub fn publisher_greeting(&self) -> Option<Vec<u8>> {
        match self.dialect {
            Dialect::Echo => self.subscription(),
            Dialect::Nats => Some(client_frame(FIN | BINARY, &nats::greeting(None))),
            Dialect::Rpc | Dialect::Nchan => None,
        }
    }

    /// Whether the publisher receives what it publishes.
    pub fn publisher_receives(&self) -> bool {
        self.dialect == Dialect::Echo
    }

    /// Whether each published message is followed by a `Confirmation` to the publisher.
    pub fn is_publication_confirmed(&self) -> bool {
        matches!(self.dialect, Dialect::Rpc | Dialect::Nchan)
    }

    pub fn publication(&self) -> &[u8] {
        &self.publication
    }

    pub fn single_publication(&self) -> &[u8] {
        &self.publication[..self.publication.len() / self.depth]
    }

    /// Calls `sink` with everything that this message completes.
    pub fn receive(
        &mut self,
        id: usize,
        message: &[u8],
        is_text: bool,
        mut sink: impl FnMut(Received<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.dialect == Dialect::Nats {
            let PubSub { nats_pong, payload, .. } = self;
            return self.nats[id].read(message, |command| match command {
                nats::Command::Ping => sink(Received::Reply(nats_pong)),
                nats::Command::Pong => sink(Received::Confirmation),
                nats::Command::Message(received) => sink(check(received, payload)?),
            });
        }
        if !is_text {
            return Err(Failure("a binary message".to_owned()));
        }
        sink(self.classify(message)?)
    }

    fn classify(&self, message: &[u8]) -> Result<Received<'_>, Failure> {
        match self.dialect {
            Dialect::Echo if message == b"?" => Ok(Received::Confirmation),
            Dialect::Nchan if message.starts_with(NCHAN_ANSWER) => Ok(Received::Confirmation),
            Dialect::Echo | Dialect::Nchan | Dialect::Nats => check(message, &self.payload),
            Dialect::Rpc => match number_after(&message[..message.len().min(EVENT_HEAD)], b"\"seq\":") {
                Some(seq) => Ok(Received::Event(seq)),
                None if find(message, b"\"result\"").is_some() => Ok(Received::Confirmation),
                None => Err(Failure::of("neither an event nor a result", excerpt(message))),
            },
        }
    }
}

fn check(received: &[u8], published: &[u8]) -> Result<Received<'static>, Failure> {
    if received == published {
        return Ok(Received::Payload);
    }
    Err(Failure::of("a message differs from what was published", excerpt(received)))
}

const RPC_SUBSCRIPTION: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"method":"gateway.subscribe","params":{"topics":["figures"]}}"#;

fn rpc_publication(data: &[u8]) -> String {
    let data = String::from_utf8_lossy(data);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"gateway.publish","params":{{"topic":"{TOPIC}","data":"{data}"}}}}"#)
}
