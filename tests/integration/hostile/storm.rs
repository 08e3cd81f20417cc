//! A restart under many clients that all come back at once.

use crate::common::http::{GET_WS, handshake_request};
use crate::common::raw_client::RawClient;
use crate::common::tools::skip;
use crate::common::{Gateway, TIMEOUT};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use test_support::raise_descriptor_limit;

/// With the descriptors of the tests that run beside this one, within a limit of 20,000.
const CLIENTS: usize = 15_000;
/// Accepts a second after the restart.
const PACE: usize = 2000;

#[test]
fn clients_that_come_back_at_once_after_a_restart_are_all_accepted_at_the_configured_pace() {
    let limit = raise_descriptor_limit().expect("the hard limit is always allowed");
    if limit < CLIENTS as u64 + 4000 {
        return skip(&format!("{CLIENTS} clients need more descriptors than {limit}")).unwrap_or_default();
    }
    let gateway = Gateway::start("");
    let addr = gateway.addr();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| RawClient::connect(&gateway)).collect();
    gateway.wait_for_clients(CLIENTS as u64);
    gateway.signal("TERM");
    // None follows the advice of when to reconnect, and none answers the close frame.
    for client in &mut clients {
        assert!(client.receive().expect("advice").1.starts_with(br#"{"jsonrpc":"2.0","method":"gateway.draining""#));
        assert_eq!(client.receive().expect("a close frame").1[..2], 1012_u16.to_be_bytes());
    }
    drop(clients);
    gateway.stop();
    let settings = format!("listen = [\"{addr}\"]\n[handshake]\nmax_per_second = {PACE}\ntimeout = \"1m\"");
    let restarted = Gateway::start(&settings);
    let started = Instant::now();
    let request = handshake_request(GET_WS, "", "");
    let connect = |_| {
        // Waits while the queue of the kernel is full.
        let mut stream = TcpStream::connect(restarted.addr()).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let mut streams: Vec<_> = (0..CLIENTS).map(connect).collect();
    for stream in &mut streams {
        let mut start = [0; 13];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 101 ");
    }
    // Less the burst.
    assert!(started.elapsed() > Duration::from_secs((CLIENTS / PACE) as u64 - 1), "{:?}", started.elapsed());
    let (status, log) = restarted.stop();
    assert!(status.success() && !log.iter().any(|line| line.contains("refused")), "{log:#?}");
}
