use super::*;
use crate::attacks::{Group, Leave, Opening, Script};
use crate::gateway::Credential;
use crate::test_server::{listen, read_head, serve, upgrade};
use plan::Ending;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use test_support::frames::{CLOSE, FIN, TEXT, client_frame, server_frame};

/// The longest run.
const DEADLINE: Duration = Duration::from_secs(30);

fn attack(opening: Opening, script: Script) -> Attack {
    Attack { name: "test".to_owned(), groups: vec![Group { connections: 2, opening, script }] }
}

const PLAIN: Opening = Opening::WebSocket(Credential::Plain);

/// Attacks a server, which calls `serve` for each connection, until that has been true for more connections than are
/// open at once.
fn run(attack: &Attack, serve: impl Fn(TcpStream) -> bool + Send + Sync + 'static) -> Outcome {
    run_until(4, attack, serve)
}

/// The same for this many connections.
fn run_until(count: usize, attack: &Attack, serve: impl Fn(TcpStream) -> bool + Send + Sync + 'static) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let addr = listen(move |stream| {
        if serve(stream) {
            // The test may be over.
            let _ = sender.send(());
        }
    });
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let attacking = scope.spawn(|| super::run(attack, Addresses { clients: addr, ops: addr }, &is_over));
        let served = (0..count).all(|_| receiver.recv_timeout(DEADLINE).is_ok());
        is_over.store(true, Relaxed);
        let outcome = attacking.join().unwrap().unwrap();
        assert!(served, "{outcome:?}");
        outcome
    })
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset ends the stream, too.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn flood_repeats_after_what_is_sent_once() {
    let (once, repeat) = (client_frame(FIN | TEXT, b"first"), client_frame(FIN | TEXT, b"again"));
    let script = Script { once, repeat: repeat.repeat(7), ..Script::default() };
    let outcome = run(&attack(PLAIN, script), |mut stream| {
        upgrade(&mut stream);
        let mut count = 0;
        let mut ending = stream.try_clone().unwrap();
        serve(&mut stream, |text| {
            assert_eq!(text, if count == 0 { "first" } else { "again" });
            count += 1;
            if count == 1000 {
                let _ = ending.write_all(&server_frame(FIN | CLOSE, b"\x03\xea"));
                let _ = ending.shutdown(std::net::Shutdown::Both);
            }
            Vec::new()
        });
        count >= 1000
    });
    assert!(outcome.opened >= 4 && outcome.bytes_sent > 40_000, "{outcome:?}");
}

#[test]
fn end_by_the_server_is_counted_by_its_cause() {
    let outcome = run(&attack(PLAIN, Script::default()), |mut stream| {
        upgrade(&mut stream);
        stream.write_all(&server_frame(FIN | CLOSE, b"\x03\xea1002")).is_ok()
    });
    assert!(outcome.ends["closed: 1002 1002"] >= 2, "{outcome:?}");

    let outcome = run(&attack(PLAIN, Script::default()), |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 503 Full\r\n\r\n").is_ok()
    });
    assert!(outcome.opened == 0 && outcome.ends["refused: HTTP/1.1 503 Full"] >= 2, "{outcome:?}");

    let script = Script { once: b"\x16\x03".to_vec(), ..Script::default() };
    let outcome = run(&attack(Opening::Tcp, script), |mut stream| {
        stream.read_exact(&mut [0; 2]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_ok()
    });
    assert!(outcome.ends["400 Bad Request"] >= 2, "{outcome:?}");
}

#[test]
fn connection_leaves_after_what_is_sent_once() {
    let script = Script { once: client_frame(FIN | TEXT, b"bye"), leave: Leave::AfterOnce, ..Script::default() };
    let outcome = run(&attack(PLAIN, script), |mut stream| {
        upgrade(&mut stream);
        read_all(stream) == client_frame(FIN | TEXT, b"bye")
    });
    assert!(outcome.ends["left"] >= 4, "{outcome:?}");
}

#[test]
fn drip_sends_single_bytes() {
    let script = Script {
        once: b"head".to_vec(),
        repeat: b"xy".to_vec(),
        drip: Some(Duration::from_millis(2)),
        ..Script::default()
    };
    run(&attack(Opening::Tcp, script), |mut stream| {
        let mut bytes = [0; 24];
        stream.read_exact(&mut bytes).is_ok() && bytes == *b"headxyxyxyxyxyxyxyxyxyxy"
    });
}

#[test]
fn connection_that_reads_nothing_blocks_the_server() {
    let script = Script { reading: Reading::Nothing, ..Script::default() };
    run_until(2, &attack(PLAIN, script), |mut stream| {
        upgrade(&mut stream);
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let sent = (0..1000).take_while(|_| stream.write_all(&[0; 1 << 20]).is_ok()).count();
        sent < 1000
    });
}

#[test]
fn planned_ending_is_what_the_server_sees() {
    let close = client_frame(FIN | CLOSE, &1000_u16.to_be_bytes());
    for (ending, last) in [
        (Ending::Close, Vec::new()),
        (Ending::Reset, Vec::new()),
        (Ending::HalfClose, Vec::new()),
        (Ending::CloseFrame, close),
    ] {
        let (sender, receiver) = mpsc::channel();
        let addr = listen(move |mut stream| {
            upgrade(&mut stream);
            let _ = sender.send(read_all(stream));
        });
        let is_over = AtomicBool::new(false);
        let received = thread::scope(|scope| {
            scope.spawn(|| {
                let group = Group { connections: 1, opening: PLAIN, script: Script::default() };
                let end = Some((Duration::from_millis(50), ending));
                let plan = Rc::new(Plan { end, ..Plan::of_group(&group, Addresses { clients: addr, ops: addr }) });
                run_plans(1, |_| plan.clone(), &is_over).unwrap();
            });
            let received = receiver.recv_timeout(DEADLINE);
            is_over.store(true, Relaxed);
            received.unwrap()
        });
        assert_eq!(received, last, "{ending:?}");
    }
}
