//! The command line.

use crate::failure::Failure;
use lexopt::Parser;
use lexopt::prelude::*;
use std::net::SocketAddrV4;
use std::str::FromStr;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
load: loads a WebSocket server on this machine and prints one line of JSON

usage: load MODE --addr IP:PORT [options]

modes:
  hold        open connections and hold them: memory for each, CPU for the pings
  echo        each connection has --depth messages outstanding
  fanout      one connection publishes, all others receive
  handshake   connect, handshake, close, repeated

options:
  --addr IP:PORT        the server, in 127.0.0.0/8
  --dialect NAME        echo (default), rpc, nats or nchan: how messages are sent, subscribed to and published
  --path PATH           request path (default: /ws)
  --publish-path PATH   request path of the publisher (default: --path)
  --token TOKEN         sent as Authorization: Bearer
  --connections N       default: 64
  --seconds S           hold, echo, handshake: length of the measured part (default: 5)
  --warmup S            echo, handshake: unmeasured part before it (default: 1)
  --size BYTES          echo, fanout: payload size (default: 64)
  --depth N             echo, fanout: messages in one write (default: 1)
  --rounds N            fanout: publications (default: 20)
  --at-once             hold: connect all before the first request is sent
  --busy                poll without sleeping: the server doesn't pay for waking this client
  --pid PID             the server's process, for CPU and memory
  -h, --help            print this
";

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Open connections and hold them.
    Hold,
    /// Each connection waits for the answers to its messages.
    Echo,
    /// One connection publishes, all others receive.
    Fanout,
    /// Connect, handshake, close.
    Handshake,
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "hold" => Ok(Mode::Hold),
            "echo" => Ok(Mode::Echo),
            "fanout" => Ok(Mode::Fanout),
            "handshake" => Ok(Mode::Handshake),
            _ => Err("unknown name; expected hold, echo, fanout or handshake"),
        }
    }
}

/// How messages are sent, subscribed to and published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dialect {
    /// Texts are echoed; one that begins with `!` goes to all connections.
    Echo,
    /// JSON-RPC: `gateway.echo`, `gateway.subscribe`, `gateway.publish`.
    Rpc,
    /// The NATS client protocol in binary messages.
    Nats,
    /// nginx with nchan: a subscriber path and a publisher path.
    Nchan,
}

impl FromStr for Dialect {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "echo" => Ok(Dialect::Echo),
            "rpc" => Ok(Dialect::Rpc),
            "nats" => Ok(Dialect::Nats),
            "nchan" => Ok(Dialect::Nchan),
            _ => Err("unknown name; expected echo, rpc, nats or nchan"),
        }
    }
}

/// The parsed command line; [`HELP`] describes each option.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is done to the server.
    pub mode: Mode,
    /// The server; loopback.
    pub addr: SocketAddrV4,
    /// How messages are sent.
    pub dialect: Dialect,
    /// Request path of the handshake.
    pub path: String,
    /// The publisher's, if it differs.
    pub publish_path: Option<String>,
    /// Bearer token of all connections.
    pub token: Option<String>,
    /// Number of connections.
    pub connections: usize,
    /// Length of the measured part.
    pub seconds: Duration,
    /// Length of the part before it.
    pub warmup: Duration,
    /// Payload bytes of a message.
    pub size: usize,
    /// Messages in one write.
    pub depth: usize,
    /// Number of publications.
    pub rounds: usize,
    /// Whether all connections are established before the first request is sent.
    pub at_once: bool,
    /// Whether to poll without sleeping.
    pub busy: bool,
    /// The server's process.
    pub pid: Option<u32>,
}

/// Parses the arguments; `None` means that help was requested.
pub fn parse(parser: Parser) -> Result<Option<Options>, Failure> {
    parse_all(parser).map_err(|error| Failure(format!("{error}; see --help")))
}

fn parse_all(mut parser: Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut mode = None;
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Value(word) if mode.is_none() => mode = Some(word.parse_with(Mode::from_str)?),
            Long("addr") => options.addr = parser.value()?.parse()?,
            Long("dialect") => options.dialect = parser.value()?.parse_with(Dialect::from_str)?,
            Long("path") => options.path = parser.value()?.string()?,
            Long("publish-path") => options.publish_path = Some(parser.value()?.string()?),
            Long("token") => options.token = Some(parser.value()?.string()?),
            Long("connections") => options.connections = parser.value()?.parse()?,
            Long("seconds") => options.seconds = seconds(&mut parser)?,
            Long("warmup") => options.warmup = seconds(&mut parser)?,
            Long("size") => options.size = parser.value()?.parse()?,
            Long("depth") => options.depth = parser.value()?.parse()?,
            Long("rounds") => options.rounds = parser.value()?.parse()?,
            Long("pid") => options.pid = Some(parser.value()?.parse()?),
            Long("at-once") => options.at_once = true,
            Long("busy") => options.busy = true,
            other => return Err(other.unexpected()),
        }
    }
    options.mode = mode.ok_or("a mode is missing")?;
    if options.addr.port() == 0 || !options.addr.ip().is_loopback() {
        return Err("--addr must be IP:PORT, with an IP in 127.0.0.0/8 and a port above 0".into());
    }
    if [options.connections, options.size, options.depth, options.rounds].contains(&0) {
        return Err("--connections, --size, --depth and --rounds must be at least 1".into());
    }
    Ok(Some(options))
}

fn seconds(parser: &mut Parser) -> Result<Duration, lexopt::Error> {
    let seconds: f64 = parser.value()?.parse()?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string().into())
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: Mode::Hold,
            addr: SocketAddrV4::new([127, 0, 0, 1].into(), 0),
            dialect: Dialect::Echo,
            path: "/ws".to_owned(),
            publish_path: None,
            token: None,
            connections: 64,
            seconds: Duration::from_secs(5),
            warmup: Duration::from_secs(1),
            size: 64,
            depth: 1,
            rounds: 20,
            at_once: false,
            busy: false,
            pid: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Option<Options>, String> {
        parse(Parser::from_args(line.split_ascii_whitespace())).map_err(|failure| failure.to_string())
    }

    #[test]
    fn missing_options_have_defaults() {
        let options = parse_line("echo --addr 127.0.0.1:80 --seconds 0.5 --pid 7").unwrap().unwrap();
        assert_eq!((options.mode, options.connections, options.depth), (Mode::Echo, 64, 1));
        assert_eq!((options.seconds, options.pid), (Duration::from_millis(500), Some(7)));
        assert!(parse_line("echo --help").unwrap().is_none());
    }

    #[test]
    fn invalid_arguments_are_described() {
        for (line, problem) in [
            ("", "a mode is missing"),
            ("shout --addr 127.0.0.1:80", "unknown name"),
            ("echo", "--addr must be"),
            ("echo --addr 10.0.0.1:80", "--addr must be"),
            ("echo --addr 127.0.0.1:80 --connections 0", "--connections"),
            ("echo --addr 127.0.0.1:80 --seconds -1", "negative"),
            ("echo --addr 127.0.0.1:80 --dialect morse", "morse"),
            ("echo --addr 127.0.0.1:80 --loud 1", "--loud"),
        ] {
            let message = parse_line(line).unwrap_err();
            assert!(message.contains(problem), "{line}: {message}");
        }
    }
}
