//! A gateway whose handler isn't JSON-RPC: it echoes each message, but sends those that start with `!` to all clients.
//! The benchmark compares it with other servers that do the same.
//!
//! Prints one line, `listening ADDRESS`, once it accepts connections, and exits on SIGTERM.

use aisopod_gateway::auth::{AuthInfo, Authenticator, Credential, Role, SecretDigest};
use aisopod_gateway::config::{Config, ListenAddr};
use aisopod_gateway::{Gateway, Listener, Shutdown};
use echo_handler::Echo;
use lexopt::prelude::*;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[path = "../common/echo_handler.rs"]
mod echo_handler;

/// The allocator of the daemon.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "usage: echo --listen IP:PORT [--token TOKEN] [--ping-interval SECONDS]";

/// `EX_USAGE` of sysexits(3).
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let config = match config() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(EX_USAGE);
        }
    };
    match Gateway::build_runtime().and_then(|runtime| runtime.block_on(serve(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn config() -> Result<Config, lexopt::Error> {
    let (mut listen, mut parser) = (None, lexopt::Parser::from_env());
    let mut config = Config::new(Gateway::descriptor_limit());
    // An hour: (nearly) no ping during a benchmark.
    (config.heartbeat.interval, config.heartbeat.timeout) = (Duration::from_secs(3600), Duration::from_secs(3600));
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => listen = Some(parser.value()?.parse::<SocketAddr>()?),
            Long("token") => config.auth = single_token(&parser.value()?.string()?),
            Long("ping-interval") => {
                let interval = parser.value()?.parse_with(seconds)?;
                (config.heartbeat.interval, config.heartbeat.timeout) = (interval, interval);
            }
            other => return Err(other.unexpected()),
        }
    }
    config.listen = vec![ListenAddr::Tcp(listen.ok_or("--listen is missing")?)];
    match config.exposure_error() {
        Some(problem) => Err(problem.into()),
        None => Ok(config),
    }
}

/// Accepts one token, for any number of operators.
fn single_token(token: &str) -> Authenticator {
    let info = Arc::new(AuthInfo::new("echo", Role::Operator, []));
    Authenticator::Token(vec![Credential { info, digest: SecretDigest::of(token.as_bytes()) }])
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|seconds| !seconds.is_zero()).ok_or("a number of seconds above 0 is needed")
}

async fn serve(config: Config) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listeners = config.listen.iter().map(|addr| Listener::bind(addr, false)).collect::<io::Result<Vec<_>>>()?;
    for listener in &listeners {
        writeln!(io::stdout(), "listening {}", listener.addr())?;
    }
    let gateway = Gateway::with_handler(config, |registry| Arc::new(Echo { registry }));
    let (stop, shutdown) = watch::channel(Shutdown::No);
    let stop_on_signal = async move {
        terminate.recv().await;
        stop.send_replace(Shutdown::Now);
        // Keeps the channel open: a closed one means shutdown as well.
        std::future::pending::<()>().await;
    };
    tokio::spawn(stop_on_signal);
    gateway.run(listeners, shutdown).await;
    Ok(())
}
