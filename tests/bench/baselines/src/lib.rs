//! What all baselines share: the command line, the line that announces the address, SIGTERM. Knows nothing of
//! WebSocket: how a baseline implements it is what is compared.

use axum::Router;
use axum::serve::ListenerExt;
use lexopt::{Arg, Parser, ValueExt};
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Path of the WebSocket.
pub const PATH: &str = "/ws";

/// First byte of a text message that goes to all clients.
pub const BROADCAST: u8 = b'!';

/// Pings in a row that may stay unanswered; the next one closes the client.
pub const MAX_UNANSWERED: u8 = 2;

/// So long that no client is pinged during a measurement.
const NO_PINGS: Duration = Duration::from_secs(1_000_000);

/// Pause after a failed accept, which usually means that descriptors have run out.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(10);

/// `EX_USAGE` of sysexits(3).
const EX_USAGE: u8 = 64;

/// The parsed command line.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Listen address; port 0 means any free one.
    pub listen: SocketAddr,
    /// Time between two pings to a client.
    pub ping_interval: Duration,
}

impl Options {
    fn parse(mut parser: Parser) -> Result<Self, lexopt::Error> {
        let (mut listen, mut ping_interval) = (None, NO_PINGS);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("listen") => listen = Some(parser.value()?.parse()?),
                Arg::Long("ping-interval") => ping_interval = parser.value()?.parse_with(parse_seconds)?,
                other => return Err(other.unexpected()),
            }
        }
        let listen = listen.ok_or("--listen ADDRESS is missing, as in --listen 127.0.0.1:0")?;
        Ok(Options { listen, ping_interval })
    }
}

fn parse_seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|seconds| !seconds.is_zero()).ok_or("a number of seconds above 0 is needed")
}

/// tokio's defaults, which is how the libraries under comparison are used.
pub fn default_runtime() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all();
    builder
}

/// The settings of the gateway's runtime (`src/runtime.rs`), for a comparison under equal conditions.
pub fn gateway_runtime() -> Builder {
    let mut builder = default_runtime();
    builder.event_interval(31).global_queue_interval(2);
    builder
}

/// Runs a baseline until SIGTERM. `serve` gets the bound listener and the command line.
pub fn run<F>(mut runtime: Builder, serve: impl FnOnce(TcpListener, Options) -> F) -> ExitCode
where
    F: Future<Output = ()>,
{
    let options = match Options::parse(Parser::from_env()) {
        Ok(options) => options,
        Err(error) => return fail(EX_USAGE, error),
    };
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, error),
    };
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind(options.listen).await?;
        writeln!(std::io::stdout(), "listening {}", listener.local_addr()?)?;
        tokio::select! {
            _ = terminate.recv() => {}
            () = serve(listener, options) => {}
        }
        std::io::Result::Ok(())
    });
    runtime.shutdown_background();
    served.map_or_else(|error| fail(1, format!("{}: {error}", options.listen)), |()| ExitCode::SUCCESS)
}

/// Accepts the next connection, with `TCP_NODELAY`.
pub async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A connection works without it, more slowly.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(_) => tokio::time::sleep(ACCEPT_BACKOFF).await,
        }
    }
}

/// Serves a router on all connections, with `TCP_NODELAY`.
pub async fn serve_axum(listener: TcpListener, router: Router) {
    let listener = listener.tap_io(|stream| {
        // A connection works without it, more slowly.
        let _ = stream.set_nodelay(true);
    });
    if let Err(error) = axum::serve(listener, router).await {
        eprintln!("{error}");
    }
}

fn fail(code: u8, error: impl Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Options::parse(Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn invalid_arguments_are_named() {
        let options = parse(&["--listen", "127.0.0.1:0", "--ping-interval", "0.5"]).unwrap();
        assert_eq!(options.ping_interval, Duration::from_millis(500));
        for (arguments, named) in [
            (&[][..], "--listen"),
            (&["--listen", "nowhere"], "nowhere"),
            (&["--listen", "127.0.0.1:0", "--ping-interval", "0"], "above 0"),
            (&["--listen", "127.0.0.1:0", "--quick"], "--quick"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }
}
