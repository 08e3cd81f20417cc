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
  --connections N       default: 1000; echo 64; handshake 32
  --seconds S           length of the measured part (default: 5)
  --warmup S            echo, handshake: unmeasured part before it (default: 1)
  --size BYTES          echo, fanout: payload size (default: 64)
  --depth N             echo, fanout: messages in one write (default: 1)
  --rounds N            fanout: publications (default: 20)
  --silent              hold: TCP connections that send no byte
  --at-once             hold: connect all before the first request is sent
  --message BYTES       hold: each connection first has a message of this size echoed
  --busy                poll without sleeping: the server doesn't pay for waking this client
  --pid PID             the server's process, for CPU and memory
  --timeout S           fail when nothing happens for this long (default: 20)
  -h, --help            print this
";

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Connections are opened and held.
    Hold,
    /// Messages are exchanged on each connection.
    Echo,
    /// One connection publishes to all others.
    Fanout,
    /// Connections are opened and closed.
    Handshake,
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

/// The parsed command line, with defaults filled in.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to do.
    pub mode: Mode,
    /// The server.
    pub addr: SocketAddrV4,
    /// How to talk to it.
    pub dialect: Dialect,
    /// Request path.
    pub path: String,
    /// Request path of the publisher.
    pub publish_path: String,
    /// Bearer token.
    pub token: Option<String>,
    /// Connections, or handshakes in flight.
    pub connections: usize,
    /// Length of the measured part.
    pub seconds: Duration,
    /// Length of the unmeasured part before it.
    pub warmup: Duration,
    /// Payload size in bytes.
    pub size: usize,
    /// Messages in one write.
    pub depth: usize,
    /// Publications.
    pub rounds: usize,
    /// Connections send no byte.
    pub silent: bool,
    /// All connections are opened before the first request is sent.
    pub at_once: bool,
    /// Size of the message that each held connection has echoed first.
    pub message: Option<usize>,
    /// Poll instead of sleeping.
    pub busy: bool,
    /// The server's process.
    pub pid: Option<u32>,
    /// A run without progress for this long fails.
    pub timeout: Duration,
}

/// Parses the arguments; `None` means that help was requested.
pub fn parse(parser: Parser) -> Result<Option<Options>, Failure> {
    parse_all(parser).map_err(|error| Failure::Usage(format!("{error}; see --help")))
}

fn parse_all(mut parser: Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut mode = None;
    let mut given = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Value(word) if mode.is_none() => mode = Some(word.parse_with(Mode::from_str)?),
            Long(name @ ("silent" | "at-once" | "busy")) => given.push((name.to_owned(), String::new())),
            Long(name) => {
                let name = name.to_owned();
                given.push((name, parser.value()?.string()?));
            }
            other => return Err(other.unexpected()),
        }
    }
    let mut options = Options::defaults(mode.ok_or("a mode is missing")?);
    for (name, value) in &given {
        options.set(name, value)?;
    }
    if options.addr.port() == 0 {
        return Err("--addr is missing".into());
    }
    if !given.iter().any(|(name, _)| name == "publish-path") {
        options.publish_path.clone_from(&options.path);
    }
    Ok(Some(options))
}

impl Options {
    fn defaults(mode: Mode) -> Options {
        let connections = match mode {
            Mode::Hold | Mode::Fanout => 1000,
            Mode::Echo => 64,
            Mode::Handshake => 32,
        };
        Options {
            mode,
            addr: SocketAddrV4::new([127, 0, 0, 1].into(), 0),
            dialect: Dialect::Echo,
            path: "/ws".to_owned(),
            publish_path: String::new(),
            token: None,
            connections,
            seconds: Duration::from_secs(5),
            warmup: Duration::from_secs(1),
            size: 64,
            depth: 1,
            rounds: 20,
            silent: false,
            at_once: false,
            message: None,
            busy: false,
            pid: None,
            timeout: Duration::from_secs(20),
        }
    }

    /// Sets the option with this name.
    fn set(&mut self, name: &str, value: &str) -> Result<(), lexopt::Error> {
        let modes: &[Mode] = match name {
            "warmup" => &[Mode::Echo, Mode::Handshake],
            "size" | "depth" => &[Mode::Echo, Mode::Fanout],
            "rounds" | "publish-path" => &[Mode::Fanout],
            "silent" | "at-once" | "message" => &[Mode::Hold],
            _ => &[self.mode],
        };
        if !modes.contains(&self.mode) {
            return Err(format!("--{name} has no meaning in this mode").into());
        }
        match name {
            "addr" => self.addr = checked(name, value, |addr: &SocketAddrV4| addr.ip().is_loopback())?,
            "dialect" => self.dialect = checked(name, value, |_| true)?,
            "path" => self.path = printable(name, value)?,
            "publish-path" => self.publish_path = printable(name, value)?,
            "token" => self.token = Some(printable(name, value)?),
            "connections" => self.connections = checked(name, value, |n| (1..=1_000_000).contains(n))?,
            "seconds" => self.seconds = seconds(name, value)?,
            "warmup" => self.warmup = seconds(name, value)?,
            "timeout" => self.timeout = seconds(name, value)?,
            "size" => self.size = checked(name, value, |n| (1..=MAX_SIZE).contains(n))?,
            "message" => self.message = Some(checked(name, value, |n| (1..=MAX_SIZE).contains(n))?),
            "depth" => self.depth = checked(name, value, |n| (1..=65_536).contains(n))?,
            "rounds" => self.rounds = checked(name, value, |n| (1..=1_000_000).contains(n))?,
            "pid" => self.pid = Some(checked(name, value, |pid| *pid > 0)?),
            "silent" => self.silent = true,
            "at-once" => self.at_once = true,
            "busy" => self.busy = true,
            _ => return Err(lexopt::Error::UnexpectedOption(format!("--{name}"))),
        }
        Ok(())
    }
}

/// Largest payload, in bytes.
const MAX_SIZE: usize = 64 << 20;

fn checked<T: FromStr>(name: &str, value: &str, is_valid: impl Fn(&T) -> bool) -> Result<T, lexopt::Error> {
    let parsed = value.parse().ok().filter(is_valid);
    parsed.ok_or_else(|| format!("--{name} can't be '{value}'").into())
}

fn printable(name: &str, value: &str) -> Result<String, lexopt::Error> {
    checked(name, value, |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn seconds(name: &str, value: &str) -> Result<Duration, lexopt::Error> {
    checked(name, value, |seconds| (0.0..=86_400.0).contains(seconds)).map(Duration::from_secs_f64)
}

/// One enum's names on the command line, for reading and printing.
macro_rules! named {
    ($type:ty { $($variant:ident = $name:literal),* }) => {
        impl $type {
            /// The name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(<$type>::$variant => $name,)* }
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                match name {
                    $($name => Ok(<$type>::$variant),)*
                    _ => Err(format!("unknown name; expected one of: {}", [$($name),*].join(", "))),
                }
            }
        }
    };
}

named!(Mode { Hold = "hold", Echo = "echo", Fanout = "fanout", Handshake = "handshake" });
named!(Dialect { Echo = "echo", Rpc = "rpc", Nats = "nats", Nchan = "nchan" });

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Option<Options>, String> {
        parse(Parser::from_args(line.split_ascii_whitespace())).map_err(|failure| failure.to_string())
    }

    #[test]
    fn missing_options_have_defaults() {
        let options = parse_line("echo --addr 127.0.0.1:80 --seconds 0.5 --pid 7 --path /x").unwrap().unwrap();
        assert_eq!((options.mode, options.connections, options.depth), (Mode::Echo, 64, 1));
        assert_eq!((options.seconds, options.pid), (Duration::from_millis(500), Some(7)));
        assert_eq!(options.publish_path, "/x");
        assert!(parse_line("echo --help").unwrap().is_none());
    }

    #[test]
    fn invalid_arguments_are_named() {
        for (line, named) in [
            ("", "a mode is missing"),
            ("shout --addr 127.0.0.1:80", "unknown name"),
            ("echo", "--addr is missing"),
            ("echo --addr 10.0.0.1:80", "--addr can't be '10.0.0.1:80'"),
            ("echo --addr 127.0.0.1:80 --rounds 3", "--rounds has no meaning"),
            ("echo --addr 127.0.0.1:80 --connections 0", "--connections can't be '0'"),
            ("echo --addr 127.0.0.1:80 --seconds -1", "--seconds"),
            ("echo --addr 127.0.0.1:80 --dialect morse", "--dialect"),
            ("echo --addr 127.0.0.1:80 --loud 1", "--loud"),
            ("echo --addr 127.0.0.1:80 --token a\u{7f}b", "--token"),
        ] {
            let message = parse_line(line).unwrap_err();
            assert!(message.contains(named), "{line}: {message}");
        }
    }

    #[test]
    fn help_lists_every_option() {
        let names = HELP.split("  --").skip(1).map(|rest| rest.split_whitespace().next().unwrap());
        let valid = |name: &str| match name {
            "addr" => "127.0.0.1:1",
            "dialect" => "nats",
            _ => "1",
        };
        let mut count = 0;
        for name in names {
            let accepted = [Mode::Hold, Mode::Echo, Mode::Fanout, Mode::Handshake]
                .iter()
                .any(|mode| Options::defaults(*mode).set(name, valid(name)).is_ok());
            assert!(accepted, "--{name}");
            count += 1;
        }
        assert_eq!(count, 17);
    }
}
