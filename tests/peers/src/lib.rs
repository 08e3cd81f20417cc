//! What all peers share: the command line, the line that says where they listen, the end on SIGTERM, and JSON-RPC.
//!
//! Knows nothing of WebSockets: how a peer does them is what is compared.

use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

/// The path of the WebSocket.
pub const PATH: &str = "/ws";

/// A text message that begins with this goes to everybody.
pub const BROADCAST: u8 = b'!';

/// How many pings in a row may stay unanswered: at the next one the client is dropped.
pub const UNANSWERED: u8 = 2;

/// Practically never: for measurements without pings.
const NO_PINGS: Duration = Duration::from_secs(1_000_000);

/// After a failed accept, which mostly means that descriptors have run out.
const BACK_OFF: Duration = Duration::from_millis(10);

/// `EX_USAGE` of sysexits(3).
const EX_USAGE: u8 = 64;

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Between two pings to a client.
    pub ping_interval: Duration,
    /// Messages are JSON-RPC, parsed and answered as such; otherwise they are sent back as they are.
    pub json: bool,
    /// The one flag that a peer may have beside those of the contract was given.
    pub variant: bool,
}

impl Options {
    fn parse(mut parser: Parser, variant: Option<&str>) -> Result<Self, lexopt::Error> {
        let mut listen = None;
        let (mut ping_interval, mut json, mut is_variant) = (NO_PINGS, false, false);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("listen") => listen = Some(parser.value()?.parse()?),
                Arg::Long("ping-interval") => ping_interval = parser.value()?.parse_with(seconds)?,
                Arg::Long("json") => json = true,
                Arg::Long(name) if Some(name) == variant => is_variant = true,
                other => return Err(other.unexpected()),
            }
        }
        let listen = listen.ok_or("--listen ADDRESS is missing, as in --listen 127.0.0.1:0")?;
        Ok(Options { listen, ping_interval, json, variant: is_variant })
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|seconds| !seconds.is_zero()).ok_or("a number of seconds above 0 is needed")
}

/// The answer to one JSON-RPC 2.0 request, of which only `gateway.echo` is known.
pub fn rpc(text: &str) -> String {
    let Ok(mut request) = serde_json::from_str::<Value>(text) else { return error(-32700, "not JSON", Value::Null) };
    let id = request.get_mut("id").map(Value::take).unwrap_or_default();
    if request.get("method").and_then(Value::as_str) != Some("gateway.echo") {
        return error(-32601, "no such method", id);
    }
    let params = request.get_mut("params").map(Value::take).unwrap_or_default();
    json!({ "jsonrpc": "2.0", "result": params, "id": id }).to_string()
}

fn error(code: i32, message: &str, id: Value) -> String {
    json!({ "jsonrpc": "2.0", "error": { "code": code, "message": message }, "id": id }).to_string()
}

/// Runs a peer until SIGTERM: `serve` is given a listener that already listens, and what the command line says.
///
/// `variant` is the name of a flag that this peer has beside those of the contract.
pub fn run<F>(variant: Option<&str>, serve: impl FnOnce(TcpListener, Options) -> F) -> ExitCode
where
    F: Future<Output = ()>,
{
    let options = match Options::parse(Parser::from_env(), variant) {
        Ok(options) => options,
        Err(error) => return fail(EX_USAGE, error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
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

/// The next connection, without the delay of small writes.
pub async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Not having it is no reason to refuse a client.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(_) => tokio::time::sleep(BACK_OFF).await,
        }
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
        Options::parse(Parser::from_args(arguments), Some("tuned")).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_read_and_wrong_ones_are_named() {
        let options = parse(&["--listen", "127.0.0.1:0", "--ping-interval", "0.5", "--tuned"]).unwrap();
        assert_eq!((options.ping_interval, options.json, options.variant), (Duration::from_millis(500), false, true));
        for (arguments, named) in [
            (&["--json"][..], "--listen"),
            (&["--listen", "nowhere"], "nowhere"),
            (&["--listen", "127.0.0.1:0", "--ping-interval", "0"], "above 0"),
            (&["--listen", "127.0.0.1:0", "--quick"], "--quick"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_request_is_answered_with_its_params_and_its_id() {
        let answer = rpc(r#"{"jsonrpc":"2.0","id":7,"method":"gateway.echo","params":{"a":[1]}}"#);
        let expected = json!({ "jsonrpc": "2.0", "result": { "a": [1] }, "id": 7 });
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), expected);
        assert!(rpc("{").contains("-32700") && rpc(r#"{"id":1,"method":"x"}"#).contains("-32601"));
    }
}
