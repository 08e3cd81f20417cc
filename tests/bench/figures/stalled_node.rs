//! What a node that reads nothing costs another client while calls are aimed at it: that client's round trips meanwhile,
//! beside those while as many calls are aimed at a node that isn't there, which are refused at once.

use crate::gateway::{self, Gateway, NODE, NODE_TOKEN, TOKEN};
use crate::plan::Plan;
use crate::report::{Must, Report, Row, Standing, median};
use std::fmt::Display;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

/// Calls in one burst; the next one comes when all are answered.
const AT_ONCE: usize = 1000;
/// Bytes of a call's params: two bursts are more than a socket takes and an outbox holds.
const SIZE: usize = 4096;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// At whom the calls are aimed.
#[derive(Clone, Copy)]
enum At {
    Stuck,
    Nobody,
}

/// Measures both in turn, round by round.
///
/// # Errors
/// What went wrong on a connection.
pub fn run(plan: &Plan, report: &mut Report) -> Result<(), String> {
    let work = format!("{AT_ONCE} calls at once, aimed at a node that reads nothing");
    let gateway = Gateway::start(gateway::NO_PINGS);
    let span = Duration::from_secs_f64(plan.span);
    let (mut stuck, mut nobody) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        eprintln!("{work} ({round} of {})", plan.rounds);
        stuck.push(round_trip_p99(gateway.addr(), span, At::Stuck)?);
        nobody.push(round_trip_p99(gateway.addr(), span, At::Nobody)?);
    }
    let ratios: Vec<_> = stuck.iter().zip(&nobody).map(|(stuck, nobody)| stuck / nobody).collect();
    let row = |server: &str, samples, standing, must| Row {
        work: work.clone(),
        figure: "round trip of another client, p99".to_owned(),
        unit: "µs",
        server: server.to_owned(),
        samples,
        standing,
        must,
    };
    report.add(row("gateway", stuck, Standing::Own, None));
    let beside = Standing::Beside(median(&ratios));
    report.add(row("gateway, calls to nobody", nobody, beside, Some(Must::AtMost(1.5))));
    Ok(())
}

/// Calls without a pause from one client, and the round trips of another meanwhile: the 99th of a hundred, in microseconds.
fn round_trip_p99(addr: SocketAddr, span: Duration, at: At) -> Result<f64, String> {
    // Nobody reads for it any more. Otherwise it has another name.
    let _node = Peer::connect(addr, if matches!(at, At::Stuck) { NODE_TOKEN } else { TOKEN })?;
    let (mut caller, mut other) = (Peer::connect(addr, TOKEN)?, Peer::connect(addr, TOKEN)?);
    let is_over = AtomicBool::new(false);
    let mut times = Vec::new();
    thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let calls = calls();
            while !is_over.load(Relaxed) {
                caller.call_all(&calls, at)?;
            }
            Ok(())
        });
        let began = Instant::now();
        while began.elapsed() < span && !calling.is_finished() {
            let sent = Instant::now();
            if let Err(error) = other.ping() {
                is_over.store(true, Relaxed);
                return Err(error);
            }
            times.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        is_over.store(true, Relaxed);
        calling.join().map_err(|_| "the caller panicked".to_owned())?
    })?;
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().ok_or_else(|| "no round trip".to_owned())
}

fn calls() -> Vec<Message> {
    let params = "x".repeat(SIZE);
    let call = |id| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"node.invoke","params":{{"target":"node:{NODE}","method":"x","params":["{params}"],"timeout":0.05}}}}"#
        )
    };
    (0..AT_ONCE).map(|id| call(id).into()).collect()
}

/// A client.
struct Peer(WebSocket<TcpStream>);

impl Peer {
    /// Connects, and waits until others can find it.
    fn connect(addr: SocketAddr, token: &str) -> Result<Peer, String> {
        let stream = TcpStream::connect(addr).map_err(shown)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(shown)?;
        stream.set_nodelay(true).map_err(shown)?;
        let mut request = format!("ws://{addr}/ws").into_client_request().map_err(shown)?;
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(shown)?;
        request.headers_mut().insert("Authorization", bearer);
        let mut peer = Peer(tungstenite::client(request, stream).map_err(shown)?.0);
        peer.ping()?;
        Ok(peer)
    }

    fn ping(&mut self) -> Result<(), String> {
        self.0.send(r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#.into()).map_err(shown)?;
        self.0.read().map(drop).map_err(shown)
    }

    /// One burst, and the answers to it.
    fn call_all(&mut self, calls: &[Message], at: At) -> Result<(), String> {
        for call in calls {
            self.0.write(call.clone()).map_err(shown)?;
        }
        self.0.flush().map_err(shown)?;
        // Whatever waits for the node ends by its timeout; for the rest its outbox is full.
        let expected: &[&str] = match at {
            At::Stuck => &["timeout", "node_outbox_full"],
            At::Nobody => &["not_found"],
        };
        for _ in calls {
            let answer = self.0.read().and_then(Message::into_text).map_err(shown)?;
            if !expected.iter().any(|reason| answer.contains(reason)) {
                return Err(format!("unexpected: {answer}"));
            }
        }
        Ok(())
    }
}

fn shown(error: impl Display) -> String {
    error.to_string()
}
