//! How much calls to a node that reads nothing slow down another client: that client's round trips during such calls,
//! compared with its round trips during bursts of the same size to a node that isn't connected, which fail at once.

use crate::gateway::{self, Gateway, NODE, NODE_TOKEN, TOKEN};
use crate::plan::Plan;
use crate::report::{Bound, Report, Row, median};
use std::fmt::Display;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

/// Calls in a burst, as many as one caller may have in flight to one node; the next burst starts when all of them have
/// ended.
const BURST: usize = 800;
/// Bytes of a call's params: two bursts exceed the node's socket buffers and its outbox.
const PARAMS_BYTES: usize = 5120;
/// How long a response may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The state of the node that is called.
#[derive(Clone, Copy, PartialEq)]
enum Node {
    Stalled,
    Absent,
}

/// Measures both, round by round.
pub fn run(plan: &Plan, report: &mut Report) -> Result<(), String> {
    let workload = format!("{BURST} calls at a time to a stalled node");
    let gateway = Gateway::start(gateway::NO_PINGS);
    let time = Duration::from_secs_f64(plan.seconds);
    let (mut stalled, mut absent) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        eprintln!("{workload} ({round} of {})", plan.rounds);
        stalled.push(round_trip_p99(gateway.addr(), time, Node::Stalled)?);
        absent.push(round_trip_p99(gateway.addr(), time, Node::Absent)?);
    }
    let ratios: Vec<_> = stalled.iter().zip(&absent).map(|(stalled, absent)| stalled / absent).collect();
    let figure = "round trip of another client, p99";
    report.add(Row::of_gateway(&workload, figure, "µs", stalled));
    report.add(Row {
        server: "gateway, node absent".to_owned(),
        ratio: Some(median(&ratios).unwrap_or(f64::NAN)),
        ..Row::of_gateway(&workload, figure, "µs", absent).bound(Bound::AtMost(1.5))
    });
    Ok(())
}

/// Calls without a pause on one connection, and returns the 99th percentile of another one's round trips in microseconds.
fn round_trip_p99(addr: SocketAddr, time: Duration, node: Node) -> Result<f64, String> {
    // Nothing is read from it. If it connects with the operator's token, it isn't a node, and the called one is absent.
    let _node = Client::connect(addr, if node == Node::Stalled { NODE_TOKEN } else { TOKEN })?;
    let (mut caller, mut other) = (Client::connect(addr, TOKEN)?, Client::connect(addr, TOKEN)?);
    let is_over = AtomicBool::new(false);
    let mut times = Vec::new();
    thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let calls = calls();
            while !is_over.load(Relaxed) {
                caller.call_all(&calls, node)?;
            }
            Ok(())
        });
        let start = Instant::now();
        while start.elapsed() < time && !calling.is_finished() {
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
    let params = "x".repeat(PARAMS_BYTES);
    let call = |id| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"node.invoke","params":{{"target":"node:{NODE}","method":"x","params":["{params}"],"timeout":0.05}}}}"#
        )
    };
    (0..BURST).map(|id| call(id).into()).collect()
}

struct Client(WebSocket<TcpStream>);

impl Client {
    /// Connects, and waits until the client is registered.
    fn connect(addr: SocketAddr, token: &str) -> Result<Client, String> {
        let stream = TcpStream::connect(addr).map_err(to_text)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(to_text)?;
        stream.set_nodelay(true).map_err(to_text)?;
        let mut request = format!("ws://{addr}/ws").into_client_request().map_err(to_text)?;
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(to_text)?;
        request.headers_mut().insert("Authorization", bearer);
        let mut client = Client(tungstenite::client(request, stream).map_err(to_text)?.0);
        client.ping()?;
        Ok(client)
    }

    fn ping(&mut self) -> Result<(), String> {
        self.0.send(r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#.into()).map_err(to_text)?;
        self.0.read().map(drop).map_err(to_text)
    }

    /// Sends one burst, and reads the responses to it.
    fn call_all(&mut self, calls: &[Message], node: Node) -> Result<(), String> {
        for call in calls {
            self.0.write(call.clone()).map_err(to_text)?;
        }
        self.0.flush().map_err(to_text)?;
        // Calls that the node's outbox accepts time out; the others are rejected.
        let expected: &[&str] = match node {
            Node::Stalled => &["timeout", "node_outbox_full"],
            Node::Absent => &["not_found"],
        };
        for _ in calls {
            let response = self.0.read().and_then(Message::into_text).map_err(to_text)?;
            if !expected.iter().any(|reason| response.contains(reason)) {
                return Err(format!("unexpected response: {response}"));
            }
        }
        Ok(())
    }
}

fn to_text(error: impl Display) -> String {
    error.to_string()
}
