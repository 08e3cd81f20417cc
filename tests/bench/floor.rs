//! What no gateway can do without: a `send` system call for each ping.

use crate::pinned::on_server_core;
use crate::plan::most_connections;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

/// A ping as the gateway sends it: two bytes of header, four of payload.
const PING: [u8; 6] = [0x89, 4, 0, 0, 0, 1];

/// Passes, of which the fastest counts: what else the machine does slows some of them down.
const PASSES: usize = 3;

/// What makes this program do the calls, pinned as a server would be.
pub const ARGUMENT: &str = "--bare-sends";

/// CPU time of one `send` of a ping's bytes, in microseconds: the mean of `sends`, in turn over plain loopback
/// connections, `count` of them or as many as a process may have both ends of. On a server's core.
///
/// # Errors
/// What the process that does it said instead.
pub fn send_microseconds(count: usize, sends: usize) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = on_server_core(program);
    command.arg(ARGUMENT).args([count.to_string(), sends.to_string()]);
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("bare send calls: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Does the calls and prints what one takes.
pub fn print(count: &str, sends: &str) -> ExitCode {
    let (Ok(count), Ok(sends)) = (count.parse(), sends.parse()) else {
        eprintln!("{ARGUMENT} COUNT SENDS: two numbers are needed");
        return ExitCode::FAILURE;
    };
    println!("{}", measure(count, sends));
    ExitCode::SUCCESS
}

fn measure(count: usize, sends: usize) -> f64 {
    let mut pairs = connect(count.min(most_connections() / 2));
    let count = pairs.len();
    // Once over all, not measured.
    send(&mut pairs, count);
    let mut pass = || {
        let before = thread_cpu_nanoseconds();
        send(&mut pairs, sends);
        (thread_cpu_nanoseconds() - before) / sends as f64 / 1e3
    };
    (0..PASSES).map(|_| pass()).fold(f64::INFINITY, f64::min)
}

fn connect(count: usize) -> Vec<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let pair = |_| {
        let client = TcpStream::connect(addr).expect("a connection");
        let (server, _) = listener.accept().expect("its other end");
        server.set_nodelay(true).expect("an option that every socket has");
        (server, client)
    };
    (0..count).map(pair).collect()
}

fn send(pairs: &mut [(TcpStream, TcpStream)], sends: usize) {
    let count = pairs.len();
    for number in 0..sends {
        // The other ends never read: what they are sent in all is far less than a socket holds.
        let sent = pairs[number % count].0.write(&PING).expect("an open connection");
        assert_eq!(sent, PING.len());
    }
}

fn thread_cpu_nanoseconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("a kernel that counts CPU time by thread");
    text.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).expect("nanoseconds")
}
