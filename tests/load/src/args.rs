//! The command line.

use crate::failure::Failure;
use lexopt::Parser;
use lexopt::prelude::*;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// What `--help` shows.
pub const HELP: &str = "\
load: loads a WebSocket server on this machine, prints one line of JSON

usage: load MODE --addr IP:PORT [options]

modes:
  idle        open connections, hold them; the server's memory for each
  silent      the same with TCP connections that say nothing
  handshake   connect, shake hands, close, again and again
  storm       open all connections at once
  echo        one message outstanding on each connection
  pipelined   several messages outstanding on each connection
  fanout      broadcast from one connection to all
  events      JSON-RPC: one connection publishes, all others are subscribed
  ping        connections that only answer pings
  slow        connections that send and don't read, beside one that does

options:
  --addr IP:PORT      the server, in 127.0.0.0/8
  --path PATH         of the request (default: /ws)
  --token TOKEN       sent as Authorization: Bearer
  --connections N     default: 1000; echo, pipelined 64; handshake 32; slow 100
  --seconds S         how long to measure, or to hold (default: 5)
  --sources N         connect from 127.0.0.2 and so many addresses on (default: 64)
  --busy              never sleep in epoll_wait: the server doesn't pay for waking this client
  --pid PID           a process of the server, for CPU and memory; repeatable
  --syscalls          count the server's system calls with strace; times are then worthless
  --patience S        give up when nothing has happened for so long (default: 20)
  --warmup S          echo, pipelined, handshake: before measuring (default: 1)
  --size BYTES        echo, pipelined, fanout, events, slow: of a payload (default: 64; slow 16384)
  --depth D           pipelined, slow, events: messages in one write (default: 16; events 1)
  --rounds R          fanout, events: how many times (default: 20)
  --rpc               echo, pipelined, idle, slow: JSON-RPC requests instead of raw texts
  --message BYTES     idle: the server sends each client one message of this size first
  --again             idle, silent, storm: everybody comes back after leaving
  --fanout            slow: the slow connections get broadcasts instead of echoes
  -h, --help          show this
";

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Open connections, held.
    Idle,
    /// TCP connections without a byte.
    Silent,
    /// Connections opened and closed.
    Handshake,
    /// All connections opened at once.
    Storm,
    /// One message outstanding on each connection.
    Echo,
    /// Several messages outstanding on each connection.
    Pipelined,
    /// Broadcasts.
    Fanout,
    /// Events published.
    Events,
    /// Pings answered.
    Ping,
    /// Connections that don't read.
    Slow,
}

impl Mode {
    const ALL: [(Mode, &'static str); 10] = [
        (Mode::Idle, "idle"),
        (Mode::Silent, "silent"),
        (Mode::Handshake, "handshake"),
        (Mode::Storm, "storm"),
        (Mode::Echo, "echo"),
        (Mode::Pipelined, "pipelined"),
        (Mode::Fanout, "fanout"),
        (Mode::Events, "events"),
        (Mode::Ping, "ping"),
        (Mode::Slow, "slow"),
    ];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }

    /// Whether an option is of use in this mode; those that every mode takes aren't asked for.
    fn takes(self, option: &str) -> bool {
        use Mode::*;
        match option {
            "warmup" => matches!(self, Echo | Pipelined | Handshake),
            "size" => matches!(self, Echo | Pipelined | Fanout | Events | Slow),
            "depth" => matches!(self, Pipelined | Slow | Events),
            "rounds" => matches!(self, Fanout | Events),
            "rpc" => matches!(self, Echo | Pipelined | Idle | Slow),
            "message" => self == Idle,
            "again" => matches!(self, Idle | Silent | Storm),
            "fanout" => self == Slow,
            _ => true,
        }
    }
}

/// Everything that was asked for, with the defaults filled in.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to do.
    pub mode: Mode,
    /// The server.
    pub addr: SocketAddrV4,
    /// The request's path.
    pub path: String,
    /// Sent as a bearer token.
    pub token: Option<String>,
    /// Connections, or handshakes in flight.
    pub connections: usize,
    /// How long to measure.
    pub seconds: Duration,
    /// How long to do the same before that.
    pub warmup: Duration,
    /// Bytes of a payload.
    pub size: usize,
    /// Messages in one write.
    pub depth: usize,
    /// Broadcasts.
    pub rounds: usize,
    /// JSON-RPC instead of raw texts.
    pub rpc: bool,
    /// Bytes of a message that the server sends each client before it idles.
    pub message: Option<usize>,
    /// Come back after leaving.
    pub again: bool,
    /// Slow connections get broadcasts.
    pub fanout: bool,
    /// Source addresses.
    pub sources: u8,
    /// Poll instead of sleeping.
    pub busy: bool,
    /// The server's processes.
    pub pids: Vec<u32>,
    /// Count system calls.
    pub syscalls: bool,
    /// Without progress for so long, give up.
    pub patience: Duration,
}

/// Reads the arguments; `None` when help was asked for.
pub fn parse(parser: Parser) -> Result<Option<Options>, Failure> {
    read(parser).map_err(|error| Failure::Usage(format!("{error}; --help shows what is allowed")))
}

fn read(mut parser: Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut mode = None;
    let mut flags = Flags::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Value(word) if mode.is_none() => {
                let word = word.string()?;
                let known = Mode::ALL.iter().find(|(_, name)| *name == word);
                mode = Some(known.ok_or_else(|| format!("there is no mode '{word}'"))?.0);
            }
            Long(name) => {
                let name = name.to_owned();
                if !flags.take(&name, &mut parser)? {
                    return Err(lexopt::Error::UnexpectedOption(format!("--{name}")));
                }
            }
            other => return Err(other.unexpected()),
        }
    }
    let mode = mode.ok_or("a mode is missing")?;
    if let Some(name) = flags.given.iter().find(|name| !mode.takes(name)) {
        return Err(format!("--{name} has no meaning for {}", mode.name()).into());
    }
    flags.into_options(mode).map(Some)
}

#[derive(Default)]
struct Flags {
    /// The options' names, as they were given.
    given: Vec<String>,
    addr: Option<SocketAddrV4>,
    path: Option<String>,
    token: Option<String>,
    connections: Option<usize>,
    seconds: Option<Duration>,
    warmup: Option<Duration>,
    size: Option<usize>,
    depth: Option<usize>,
    rounds: Option<usize>,
    message: Option<usize>,
    sources: Option<u8>,
    pids: Vec<u32>,
    patience: Option<Duration>,
    rpc: bool,
    again: bool,
    fanout: bool,
    busy: bool,
    syscalls: bool,
}

impl Flags {
    /// Takes an option with its value; false when there is no such option.
    fn take(&mut self, name: &str, parser: &mut Parser) -> Result<bool, lexopt::Error> {
        match name {
            "addr" => self.addr = Some(loopback(parser)?),
            "path" => self.path = Some(printable(name, parser, |path| path.starts_with('/'))?),
            "token" => self.token = Some(printable(name, parser, |token| !token.is_empty())?),
            "connections" => self.connections = Some(number(name, parser, 1, 1_000_000)?),
            "seconds" => self.seconds = Some(seconds(name, parser)?),
            "warmup" => self.warmup = Some(seconds(name, parser)?),
            "patience" => self.patience = Some(seconds(name, parser)?),
            "size" => self.size = Some(number(name, parser, 1, 64 << 20)?),
            "message" => self.message = Some(number(name, parser, 1, 64 << 20)?),
            "depth" => self.depth = Some(number(name, parser, 1, 65_536)?),
            "rounds" => self.rounds = Some(number(name, parser, 1, 1_000_000)?),
            "sources" => self.sources = Some(number(name, parser, 1, 253)? as u8),
            "pid" => self.pids.push(number(name, parser, 1, i32::MAX as usize)? as u32),
            "rpc" => self.rpc = true,
            "again" => self.again = true,
            "fanout" => self.fanout = true,
            "busy" => self.busy = true,
            "syscalls" => self.syscalls = true,
            _ => return Ok(false),
        }
        self.given.push(name.to_owned());
        Ok(true)
    }

    fn into_options(self, mode: Mode) -> Result<Options, lexopt::Error> {
        if self.syscalls && self.pids.is_empty() {
            return Err("--syscalls needs a --pid".into());
        }
        if self.rpc && mode == Mode::Idle && self.message.is_none() {
            return Err("--rpc needs a --message in idle".into());
        }
        if self.rpc && self.fanout {
            return Err("--fanout broadcasts raw texts, without --rpc".into());
        }
        Ok(Options {
            mode,
            addr: self.addr.ok_or("--addr is missing")?,
            path: self.path.unwrap_or_else(|| "/ws".to_owned()),
            token: self.token,
            connections: self.connections.unwrap_or(match mode {
                Mode::Echo | Mode::Pipelined => 64,
                Mode::Handshake => 32,
                Mode::Slow => 100,
                _ => 1000,
            }),
            seconds: self.seconds.unwrap_or(Duration::from_secs(5)),
            warmup: self.warmup.unwrap_or(Duration::from_secs(1)),
            size: self.size.unwrap_or(if mode == Mode::Slow { 16_384 } else { 64 }),
            depth: match mode {
                Mode::Echo => 1,
                Mode::Events => self.depth.unwrap_or(1),
                _ => self.depth.unwrap_or(16),
            },
            rounds: self.rounds.unwrap_or(20),
            rpc: self.rpc,
            message: self.message,
            again: self.again,
            fanout: self.fanout,
            sources: self.sources.unwrap_or(64),
            busy: self.busy,
            pids: self.pids,
            syscalls: self.syscalls,
            patience: self.patience.unwrap_or(Duration::from_secs(20)),
        })
    }
}

fn loopback(parser: &mut Parser) -> Result<SocketAddrV4, lexopt::Error> {
    let text = parser.value()?.string()?;
    match text.parse::<SocketAddrV4>() {
        Ok(addr) if addr.ip().is_loopback() && addr.port() != 0 => Ok(addr),
        _ => Err(format!("--addr '{text}' is not an address and port like {}:8080", Ipv4Addr::LOCALHOST).into()),
    }
}

fn printable(name: &str, parser: &mut Parser, allowed: fn(&str) -> bool) -> Result<String, lexopt::Error> {
    let text = parser.value()?.string()?;
    if allowed(&text) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(format!("--{name} '{text}' can't be sent in a request").into())
}

fn number(name: &str, parser: &mut Parser, least: usize, most: usize) -> Result<usize, lexopt::Error> {
    let text = parser.value()?.string()?;
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("--{name} '{text}' is not a number from {least} to {most}").into()),
    }
}

fn seconds(name: &str, parser: &mut Parser) -> Result<Duration, lexopt::Error> {
    let text = parser.value()?.string()?;
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("--{name} '{text}' is not a number of seconds from 0 to 86400").into()),
    }
}

#[cfg(test)]
mod tests;
