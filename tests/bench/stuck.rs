//! What a node that reads nothing costs another client while calls are aimed at it: that client's round trips meanwhile,
//! beside those while as many calls are aimed at a node that isn't there, which are refused at once.

use crate::gateway::{self, Gateway, NODE, NODE_TOKEN, TOKEN};
use crate::plan::Plan;
use crate::report::{Must, Report, Row, Standing, median};
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
pub fn run(plan: &Plan, report: &mut Report) {
    let work = format!("{AT_ONCE} calls at once, aimed at a node that reads nothing");
    let gateway = Gateway::start(gateway::NO_PINGS);
    let span = Duration::from_secs_f64(plan.span);
    let (mut stuck, mut nobody) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        eprintln!("{work} ({round} of {})", plan.rounds);
        stuck.push(round_trip_p99(gateway.addr(), span, At::Stuck));
        nobody.push(round_trip_p99(gateway.addr(), span, At::Nobody));
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
}

/// Calls without a pause from one client, and the round trips of another meanwhile: the 99th of a hundred, in microseconds.
fn round_trip_p99(addr: SocketAddr, span: Duration, at: At) -> f64 {
    // Nobody reads for it.
    let node = matches!(at, At::Stuck).then(|| connect(addr, NODE_TOKEN));
    let (mut caller, mut other) = (connect(addr, TOKEN), connect(addr, TOKEN));
    let is_over = AtomicBool::new(false);
    let mut times = Vec::new();
    thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let calls = calls();
            while !is_over.load(Relaxed) {
                call(&mut caller, &calls, at);
            }
        });
        let began = Instant::now();
        while began.elapsed() < span && !calling.is_finished() {
            let sent = Instant::now();
            other.send(r#"{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}"#.into()).expect("an open connection");
            other.read().expect("an answer");
            times.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        is_over.store(true, Relaxed);
    });
    drop(node);
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
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

/// One burst, and the answers to it.
fn call(caller: &mut WebSocket<TcpStream>, calls: &[Message], at: At) {
    for call in calls {
        caller.write(call.clone()).expect("an open connection");
    }
    caller.flush().expect("an open connection");
    // Whatever waits for the node ends by its timeout; for the rest its outbox is full.
    let expected: &[&str] = match at {
        At::Stuck => &["timeout", "node_outbox_full"],
        At::Nobody => &["not_found"],
    };
    for _ in 0..AT_ONCE {
        let Message::Text(answer) = caller.read().expect("an answer") else { panic!("an answer is a text") };
        assert!(expected.iter().any(|reason| answer.contains(reason)), "{answer}");
    }
}

fn connect(addr: SocketAddr, token: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(addr).expect("a listening gateway");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("a socket");
    let mut request = format!("ws://{addr}/ws").into_client_request().expect("a request");
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("a header");
    request.headers_mut().insert("Authorization", bearer);
    tungstenite::client(request, stream).expect("a handshake").0
}
